# Copyright 2026 The leconvmn_ros authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Sources without a device: a bag and the synthetic subject, in real time."""

from collections.abc import Callable
import time

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.emg.description import EmgDescription
from leconvmn_ros.recordings.bag_recorder import BagRecorder
from leconvmn_ros.recordings.bag_types import DESCRIPTION_TOPIC, typestore
from leconvmn_ros.recordings.bags import read_bag
from leconvmn_ros.recordings.description import read_description
from leconvmn_ros.sources.player import Player, Track
from leconvmn_ros.sources.registry import make_source
from leconvmn_ros.sources.stream import EmgStream
import numpy as np
import pytest
from small_recordings import small_bag


def collect(source, description, until: Callable[[list], bool]):
    """Read like a node until the condition is true, or the source has ended."""
    stream = EmgStream(description, 1.0, np.arange(len(description.channels)))
    chunks, end = [], time.monotonic() + 20
    while not until(chunks) and not source.ended and time.monotonic() < end:
        chunks += stream.take(source.read(), time.time())
        time.sleep(0.01)
    return chunks, stream


def test_a_bag_is_played_from_end_to_end(tmp_path):
    bag = small_bag(tmp_path / 'bag', 20)
    source = make_source('bag', f'path={bag} speed=10')
    description = source.open()
    chunks, stream = collect(source, description, lambda _: False)
    recorded = np.concatenate([chunk.samples for chunk in read_bag(bag).chunks])
    assert np.array_equal(np.concatenate([chunk.samples for chunk in chunks]), recorded)
    assert stream.counts.faults() == {}
    assert source.ended


def test_losses_in_a_bag_are_losses_of_the_device():
    track = Track(np.zeros((20, 1)), np.r_[0:10, 15:25] / 1000, np.r_[0:10, 15:25])
    player = Player(track)
    time.sleep(0.03)
    assert player.read().counter.tolist() == [*range(10), *range(15, 25)]
    assert player.over


def test_a_loop_counts_on():
    track = Track(np.arange(4.0)[:, None], np.arange(4) / 1000, np.arange(4))
    player = Player(track, loop=True)
    numbers = []
    while len(numbers) < 12:
        reading = player.read()
        if reading is not None:
            numbers += reading.counter.tolist()
            assert np.array_equal(reading.samples[:, 0], reading.counter % 4)
    assert numbers[:12] == list(range(12))
    assert not player.over


@pytest.mark.parametrize(
    ('options', 'error'), [('', ConfigurationError), ('path=/nowhere', RecordingError)]
)
def test_a_bag_that_is_not_there_is_told(options, error):
    with pytest.raises(error):
        make_source('bag', options).open()


def test_the_synthetic_subject_is_read_without_a_device():
    source = make_source('synthetic', 'channels=4 rate=100 movements=1 repetitions=1')
    description = source.open()
    assert description.rings == ((0, 1, 2, 3),)
    chunks, stream = collect(source, description, lambda got: len(got) > 5)
    assert stream.counts.faults() == {}
    assert chunks[0].samples.shape[1] == 4


DESCRIPTION = EmgDescription(
    device='band', sampling_rate=200.0, channels=('a', 'b'), rings=((1, 0),), arm='left'
)


def string(text):
    store = typestore()
    kind = 'std_msgs/msg/String'
    return bytes(store.serialize_cdr(store.types[kind](data=text), kind))


def test_the_place_of_the_electrodes_is_read_from_a_recorded_topic(tmp_path):
    with BagRecorder(tmp_path / 'bag') as bag:
        bag.add_topic(DESCRIPTION_TOPIC, 'std_msgs/msg/String', latched=True)
        bag.write(DESCRIPTION_TOPIC, 1, string('{}'))
        bag.write(DESCRIPTION_TOPIC, 2, string(DESCRIPTION.to_json()))
    assert read_description(tmp_path / 'bag') == DESCRIPTION


def test_the_place_of_the_electrodes_is_read_from_the_metadata(tmp_path):
    with BagRecorder(
        tmp_path / 'bag', information={'emg_description': DESCRIPTION.to_json()}
    ) as bag:
        bag.add_topic('/text', 'std_msgs/msg/String')
        bag.write('/text', 1, string(''))
    assert read_description(tmp_path / 'bag') == DESCRIPTION


def test_a_bag_may_say_nothing_of_the_electrodes(tmp_path):
    assert read_description(small_bag(tmp_path / 'bag', 1)) is None
