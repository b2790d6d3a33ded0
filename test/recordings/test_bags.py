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

"""A sampled subject becomes a bag and comes back as a recording."""

from dataclasses import replace
from pathlib import Path
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import SampledSubject
from leconvmn_ros.recordings.bags import FIRST_STAMP_NS, open_bag, read_bag, write_bag
import numpy as np
import pytest


def make_subject(samples=503, channels=4, rate=200.0):
    random = np.random.default_rng(samples)
    movement = np.arange(samples) // 50 % 3
    return SampledSubject(
        name='made up',
        sampling_rate=rate,
        emg=random.normal(0, 1e-4, (samples, channels)).astype(np.float32),
        positions=random.uniform(-1, 2, (samples, len(JOINT_NAMES))),
        movement=movement,
        repetition=np.arange(samples) // 150,
        information={'database': 'none', 'emg_unit': 'V', 'number': '200'},
    )


def sample_times(subject):
    period_ns = 1e9 / subject.sampling_rate
    return FIRST_STAMP_NS + np.rint(np.arange(len(subject.emg)) * period_ns).astype(np.int64)


def assert_same_recording(subject, recording, picked):
    times = sample_times(subject)
    chunks = recording.chunks
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), subject.emg)
    first = np.cumsum([0, *(len(chunk.samples) for chunk in chunks[:-1])])
    assert [chunk.first_sample for chunk in chunks] == first.tolist()
    assert [chunk.stamp_ns for chunk in chunks] == times[first].tolist()
    assert {chunk.sampling_rate for chunk in chunks} == {subject.sampling_rate}
    np.testing.assert_array_equal(recording.reference.positions, subject.positions[picked])
    np.testing.assert_array_equal(recording.reference.stamps_ns, times[picked])
    assert recording.reference.names == JOINT_NAMES
    holding = np.searchsorted(recording.labels.stamps_ns, times, side='right') - 1
    np.testing.assert_array_equal(recording.labels.movement[holding], subject.movement)
    np.testing.assert_array_equal(recording.labels.repetition[holding], subject.repetition)


def test_bag_gives_back_what_was_written(tmp_path):
    subject = make_subject()
    write_bag(subject, tmp_path / 'made')
    recording = read_bag(tmp_path / 'made')
    assert_same_recording(subject, recording, np.arange(0, 503, 2))
    assert recording.name == 'made'
    assert dict(recording.information) == dict(subject.information)


@settings(deadline=None, max_examples=40)
@given(
    samples=st.integers(1, 200),
    rate=st.sampled_from([50.0, 100.0, 200.0, 1111.1, 2000.0, 2000 / 3]),
    chunk_duration=st.floats(1e-4, 2.0),
    reference_rate=st.floats(1.0, 3000.0),
)
def test_any_chunk_duration_and_rates_give_the_same_signals(
    samples, rate, chunk_duration, reference_rate
):
    subject = make_subject(samples, 3, rate)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'bag'
        write_bag(subject, path, chunk_duration=chunk_duration, reference_rate=reference_rate)
        recording = read_bag(path)
    times = sample_times(subject)
    picked = np.searchsorted(times, recording.reference.stamps_ns)
    assert_same_recording(subject, recording, picked)
    assert picked[0] == 0
    lengths = [len(chunk.samples) for chunk in recording.chunks]
    assert set(lengths[:-1]) <= {max(1, round(chunk_duration * rate))}
    # At most the rate asked for (to one sample of jitter), and no gap of two periods.
    steps = np.diff(picked)
    if len(steps):
        wanted = max(1.0, rate / reference_rate)
        assert steps.min() >= np.floor(wanted)
        assert steps.max() <= np.ceil(wanted)


def test_one_label_per_change(tmp_path):
    subject = replace(
        make_subject(6),
        movement=np.array([0, 0, 3, 3, 0, 0]),
        repetition=np.array([0, 0, 1, 1, 1, 1]),
    )
    write_bag(subject, tmp_path / 'bag')
    labels = read_bag(tmp_path / 'bag').labels
    assert labels.stamps_ns.tolist() == sample_times(subject)[[0, 2, 4]].tolist()
    assert labels.movement.tolist() == [0, 3, 0]
    assert labels.repetition.tolist() == [0, 1, 1]


def test_emg_is_logged_when_its_last_sample_is_taken_and_log_times_never_go_back(tmp_path):
    subject = make_subject(90, rate=100.0)
    write_bag(subject, tmp_path / 'bag', chunk_duration=0.05)
    with open_bag(tmp_path / 'bag') as bag:
        messages = list(bag.messages())
        assert (bag.start_ns, bag.end_ns) == (FIRST_STAMP_NS, FIRST_STAMP_NS + 890_000_000)
    log = [message.log_ns for message in messages]
    assert log == sorted(log)
    emg = [message.log_ns for message in messages if message.topic == '/emg']
    assert emg == sample_times(subject)[4::5].tolist()
    # A label and a reference of the moment of the last sample come before the EMG.
    first_emg = next(i for i, message in enumerate(messages) if message.topic == '/emg')
    assert [message.topic for message in messages[: first_emg + 1]] == [
        '/movement_label',
        *['/joint_states_reference'] * 5,
        '/emg',
    ]


def test_same_subject_gives_the_same_bytes(tmp_path):
    for folder in ('a', 'b'):
        write_bag(make_subject(), tmp_path / folder / 'bag')
    for name in ('bag_0.mcap', 'metadata.yaml'):
        one, other = (tmp_path / folder / 'bag' / name for folder in ('a', 'b'))
        assert one.read_bytes() == other.read_bytes()


def test_progress_rises_to_one(tmp_path):
    fractions = []
    write_bag(make_subject(), tmp_path / 'bag', progress=fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] == 1
    assert len(fractions) > 50


def spoilt(array, place, value):
    array = array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ('field', 'place', 'value', 'message'),
    [
        ('emg', (7, 2), np.nan, 'EMG of channel 2 is not finite at sample 7'),
        ('emg', (0, 0), -np.inf, 'EMG of channel 0 is not finite at sample 0'),
        ('positions', (5, 3), np.inf, 'angle of index_pip is not finite at sample 5'),
        ('movement', 4, -1, 'movement labels from -1'),
        ('repetition', 4, 2**16, 'repetition labels from 0 to 65536'),
    ],
)
def test_refuses_values_that_no_recording_has(tmp_path, field, place, value, message):
    subject = make_subject(20)
    subject = replace(subject, **{field: spoilt(getattr(subject, field), place, value)})
    with pytest.raises(RecordingError, match=message):
        write_bag(subject, tmp_path / 'bag')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'emg': np.zeros((0, 4), np.float32)}, 'EMG of shape'),
        ({'emg': np.zeros((20, 0), np.float32)}, 'EMG of shape'),
        ({'emg': np.zeros(20, np.float32)}, 'EMG of shape'),
        ({'positions': np.zeros((20, 9))}, 'angles of shape'),
        ({'positions': np.zeros((19, 10))}, 'angles of shape'),
        ({'movement': np.zeros(19, np.int64)}, 'movement labels of shape'),
        ({'repetition': np.zeros(21, np.int64)}, 'repetition labels of shape'),
        ({'sampling_rate': 0.0}, 'sampling rate'),
        ({'sampling_rate': float('nan')}, 'sampling rate'),
    ],
)
def test_refuses_arrays_that_do_not_fit_together(tmp_path, change, message):
    with pytest.raises(RecordingError, match=message):
        write_bag(replace(make_subject(20), **change), tmp_path / 'bag')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('value', [0.0, -1.0, float('nan'), float('inf')])
@pytest.mark.parametrize('name', ['chunk_duration', 'reference_rate'])
def test_refuses_settings_that_make_no_sense(tmp_path, name, value):
    with pytest.raises(ConfigurationError, match=name):
        write_bag(make_subject(20), tmp_path / 'bag', **{name: value})


def test_extreme_settings_still_give_a_bag(tmp_path):
    subject = make_subject(20)
    write_bag(subject, tmp_path / 'bag', chunk_duration=1e300, reference_rate=1e-300)
    recording = read_bag(tmp_path / 'bag')
    assert len(recording.chunks) == 1
    assert_same_recording(subject, recording, [0])
