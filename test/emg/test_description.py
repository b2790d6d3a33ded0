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

"""The description of the electrodes, as text that travels with the signal."""

from leconvmn_ros.core.errors import MalformedMessageError
from leconvmn_ros.emg.description import EmgDescription, parse_description
import pytest

NAMES = tuple(map(str, range(16)))
RINGS = (tuple(range(8)), tuple(range(8, 16)))


def test_a_description_is_read_as_it_was_written():
    description = EmgDescription(
        source='lsl',
        device='two bands',
        sampling_rate=200.0,
        channels=NAMES,
        rings=RINGS,
        offset=(0.5,),
        arm='left',
    )
    assert parse_description(description.to_json()) == description
    assert '\n' not in description.to_json()


@pytest.mark.parametrize(
    ('wrong', 'complaint'),
    [
        ({'rings': [[0, 16]]}, 'a ring names channel 16; there are channels 0 to 15'),
        ({'rings': [[-1]]}, 'a ring names channel -1'),
        ({'rings': [[0, 1], [1, 2]]}, 'in the rings twice'),
        ({'rings': [[0], [1]], 'offset': [1, 2]}, '2 offsets for 2 rings'),
        ({'offset': [1]}, '1 offsets for 0 rings'),
        ({'arm': 'up'}, 'arm'),
        ({'sampling_rate': 0}, 'sampling_rate'),
        ({'sampling_rate': float('nan')}, 'sampling_rate'),
        ({'channels': []}, 'channels'),
        ({'colour': 'red'}, 'colour'),
    ],
)
def test_a_description_that_cannot_be_is_refused(wrong, complaint):
    import json

    whole = {'sampling_rate': 200.0, 'channels': NAMES} | wrong
    with pytest.raises(MalformedMessageError, match=complaint):
        parse_description(json.dumps(whole))


@pytest.mark.parametrize('text', ['', 'no JSON', '[]', 'null', '{"channels": ' + '[' * 50_000])
def test_a_text_that_is_no_description_is_refused(text):
    with pytest.raises(MalformedMessageError):
        parse_description(text)


def test_a_text_of_any_length_is_refused_at_once():
    with pytest.raises(MalformedMessageError, match='at most 65536'):
        parse_description(' ' * 10**6)
