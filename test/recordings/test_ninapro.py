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

"""Ninapro files become sampled subjects, and those become bags."""

from dataclasses import replace
import hashlib
import os
from pathlib import Path

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.emg.description import parse_description
from leconvmn_ros.recordings.bags import FIRST_STAMP_NS, read_bag, write_bag
from leconvmn_ros.recordings.description import read_description
from leconvmn_ros.recordings.ninapro import read_ninapro
from leconvmn_ros.recordings.ninapro_layouts import GLOVE_COLUMNS, VOLTS_PER_MYO_COUNT
import numpy as np
import pytest
from scipy.io import loadmat, savemat

REPOSITORY = Path(__file__).resolve().parents[2]
CHANNELS = {'DB1': 10, 'DB2': 12, 'DB5': 16, 'DB7': 12, 'DB8': 16}
SENSORS = {'DB1': 22, 'DB2': 22, 'DB5': 22, 'DB7': 18, 'DB8': 18}
RATES = {'DB1': 100.0, 'DB2': 2000.0, 'DB5': 200.0, 'DB7': 2000.0, 'DB8': 2000.0}
NAMES = dict.fromkeys(CHANNELS, 'S3_E1_A1.mat') | {'DB1': 'S3_A1_E1.mat'}


def make_variables(database='DB2', samples=400):
    """Return variables like those of a Ninapro file."""
    random = np.random.default_rng(samples)
    shape = (samples, CHANNELS[database])
    emg = {
        'DB1': lambda: np.abs(random.normal(0, 0.5, shape)),
        **dict.fromkeys(
            ('DB2', 'DB7', 'DB8'), lambda: random.normal(0, 1e-4, shape).astype(np.float32)
        ),
        'DB5': lambda: random.integers(-128, 128, shape).astype(np.float32),
    }[database]()
    movement = np.zeros((samples, 1), np.int8)
    repetition = np.zeros((samples, 1), np.int8)
    movement[100:150], repetition[100:150] = 7, 1
    movement[200:260], repetition[200:260] = 7, 2
    variables = {
        'emg': emg,
        'glove': random.uniform(-60, 120, (samples, SENSORS[database])).astype(np.float32),
        'stimulus': np.roll(movement, -5),
        'restimulus': movement,
        'repetition': np.roll(repetition, -5),
        'rerepetition': repetition,
        'subject': 3.0,
        'exercise': 1.0,
    }
    if database == 'DB5':
        variables |= {'frequency': 200.0, 'acc': np.zeros((samples, 3)), 'sensor': 'Double Myo'}
    return variables


def save(path, variables):
    savemat(path, variables, do_compression=True)
    return path


@pytest.mark.parametrize('database', CHANNELS)
def test_database_is_found_by_its_content(tmp_path, database):
    variables = make_variables(database)
    path = save(tmp_path / NAMES[database], variables)
    subject = read_ninapro(path)
    scale = VOLTS_PER_MYO_COUNT if database == 'DB5' else 1
    assert subject.name == f'{database}_{path.stem}'
    assert subject.sampling_rate == RATES[database]
    assert subject.emg.dtype == np.float32
    np.testing.assert_allclose(subject.emg, variables['emg'] * scale, rtol=1e-6)
    angles = np.radians(variables['glove'][:, GLOVE_COLUMNS[SENSORS[database]]].astype(np.float64))
    np.testing.assert_array_equal(subject.positions, angles)
    np.testing.assert_array_equal(subject.movement, variables['restimulus'].ravel())
    assert read_ninapro(path, database=database).name == subject.name


def test_repetition_during_rest_is_that_of_the_movement_before(tmp_path):
    variables = make_variables()
    subject = read_ninapro(save(tmp_path / 'a.mat', variables))
    changes = np.flatnonzero(np.diff(subject.repetition)) + 1
    assert subject.repetition[[0, *changes]].tolist() == [0, 1, 2]
    assert changes.tolist() == [100, 200]
    # DB5 numbers a rest by the movement to come.
    variables['rerepetition'][:100], variables['rerepetition'][150:200] = 1, 2
    again = read_ninapro(save(tmp_path / 'a.mat', variables))
    np.testing.assert_array_equal(again.repetition, subject.repetition)


@pytest.mark.parametrize('missing', ['restimulus', 'rerepetition'])
def test_falls_back_on_labels_that_were_not_moved(tmp_path, missing):
    variables = make_variables()
    del variables[missing]
    subject = read_ninapro(save(tmp_path / 'a.mat', variables))
    np.testing.assert_array_equal(subject.movement, variables['stimulus'].ravel())
    assert subject.information['label_source'] == 'stimulus repetition'


def test_information_tells_units_and_source(tmp_path):
    path = save(tmp_path / 'S3_E1_A1.mat', make_variables('DB5'))
    told = read_ninapro(path).information
    assert told['database'] == 'Ninapro DB5'
    assert told['subject'] == '3'
    assert told['source_file'] == 'S3_E1_A1.mat'
    assert told['source_sha256'] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told['emg_source_unit'] == 'count'
    assert float(told['emg_volts_per_source_unit']) == VOLTS_PER_MYO_COUNT
    assert told['emg_unit'].startswith('V (nominal')
    assert told['emg_kind'] == 'raw'
    assert told['joint_unit'] == 'rad'
    told = read_ninapro(save(tmp_path / 'b_A1_E1.mat', make_variables('DB1'))).information
    assert told['emg_kind'] == 'envelope'
    assert told['emg_unit'] == 'V'
    assert 'not calibrated' in told['joint_unit']


def test_file_name_that_is_no_text_can_be_converted(tmp_path):
    path = save(Path(os.fsdecode(os.fsencode(tmp_path) + b'/S1_\xff.mat')), make_variables())
    write_bag(read_ninapro(path), tmp_path / 'bag')
    assert read_bag(tmp_path / 'bag').information['source_file'] == 'S1_?.mat'


@pytest.mark.parametrize('name', ['emg', 'glove', 'stimulus', 'repetition'])
def test_missing_variable_is_named(tmp_path, name):
    variables = make_variables()
    for key in (name, f're{name}'):
        variables.pop(key, None)
    with pytest.raises(RecordingError, match=f'has no variable {name} .*subject'):
        read_ninapro(save(tmp_path / 'a.mat', variables))


def test_foreign_file_is_one_clear_error(tmp_path):
    with pytest.raises(RecordingError, match='no Ninapro recording'):
        read_ninapro(save(tmp_path / 'a.mat', {'weather': np.zeros((3, 3))}))


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('emg', np.zeros((400, 11)), '11 channels .*; known are'),
        ('emg', np.zeros((400, 12, 2)), 'not 2 dimensions'),
        ('emg', np.zeros((0, 12)), '0 samples'),
        ('glove', np.zeros((400, 21)), '21 sensors; known are'),
        ('glove', np.zeros((399, 22)), 'glove has 399 samples, emg has 400'),
        ('restimulus', np.zeros((401, 1)), 'restimulus has 401 samples, emg has 400'),
        ('rerepetition', np.zeros((400, 2)), 'a vector is needed'),
        ('restimulus', np.full((400, 1), 0.5), '0.5 at sample 0'),
        ('restimulus', np.full((400, 1), -1), '-1 at sample 0'),
        ('rerepetition', np.full((400, 1), np.nan), 'nan at sample 0'),
        ('restimulus', np.full((400, 1), 70000), '70000 at sample 0'),
        ('frequency', 200.0, 'frequency is 200 Hz; DB2 has 12 channels at 2000 Hz'),
        ('glove', 'text' * 100, 'the glove 1 sensors'),
        ('emg', np.full((400, 12), 'x', object), 'numbers are needed'),
    ],
)
def test_variables_that_do_not_fit_are_one_clear_error(tmp_path, name, value, message):
    with pytest.raises(RecordingError, match=message):
        read_ninapro(save(tmp_path / 'a.mat', make_variables() | {name: value}))


@pytest.mark.parametrize(('name', 'column'), [('emg', 5), ('glove', 11)])
@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_nan_is_named_with_variable_channel_and_first_sample(tmp_path, name, column, value):
    variables = make_variables()
    variables[name][[31, 99], column] = value
    with pytest.raises(RecordingError, match=rf'{name} is not .* channel {column} .* sample 31'):
        read_ninapro(save(tmp_path / 'a.mat', variables))


def test_emg_beyond_32_bits_is_one_clear_error(tmp_path):
    """Found by fuzzing: finite as 64-bit numbers, it became infinite in the recording."""
    variables = make_variables('DB1')
    variables['emg'][7, 3] = 1e300
    with pytest.raises(RecordingError, match=r'emg is 1e\+300 in channel 3 .* sample 7'):
        read_ninapro(save(tmp_path / 'a.mat', variables), database='DB1')


def test_broken_glove_sensor_that_is_not_used_does_not_matter(tmp_path):
    variables = make_variables()
    variables['glove'][:, 10] = np.nan
    assert np.isfinite(read_ninapro(save(tmp_path / 'a.mat', variables)).positions).all()


@pytest.mark.parametrize('value', [0.5, 128, -129])
def test_db5_must_be_counts(tmp_path, value):
    variables = make_variables('DB5')
    variables['emg'][3, 3] = value
    with pytest.raises(RecordingError, match='whole counts'):
        read_ninapro(save(tmp_path / 'a.mat', variables))


def test_explicit_database_must_fit(tmp_path):
    path = save(tmp_path / 'a.mat', make_variables('DB2'))
    with pytest.raises(RecordingError, match='12 channels; DB5 has 16'):
        read_ninapro(path, database='DB5')
    with pytest.raises(ConfigurationError, match=r"'DB9'; allowed are DB1, DB2"):
        read_ninapro(path, database='DB9')


def assert_bag_holds(subject, path):
    """Compare a bag with reference at 100 Hz with its subject."""
    recording = read_bag(path)
    samples = len(subject.emg)
    times = FIRST_STAMP_NS + np.rint(np.arange(samples) * (1e9 / subject.sampling_rate))
    picked = np.arange(0, samples, round(subject.sampling_rate / 100))
    emg = np.concatenate([chunk.samples for chunk in recording.chunks])
    np.testing.assert_array_equal(emg, subject.emg)
    np.testing.assert_array_equal(recording.reference.positions, subject.positions[picked])
    np.testing.assert_array_equal(recording.reference.stamps_ns, times[picked])
    holding = np.searchsorted(recording.labels.stamps_ns, times, side='right') - 1
    np.testing.assert_array_equal(recording.labels.movement[holding], subject.movement)
    np.testing.assert_array_equal(recording.labels.repetition[holding], subject.repetition)
    assert recording.information == subject.information


def test_db2_like_file_becomes_a_bag(tmp_path):
    subject = read_ninapro(save(tmp_path / 'S3_E1_A1.mat', make_variables('DB2', samples=5000)))
    write_bag(subject, tmp_path / 'bag')
    assert_bag_holds(subject, tmp_path / 'bag')


@pytest.mark.parametrize(
    ('name', 'movements', 'repetitions'),
    [('DB5/S1_E1_A1.mat', 12, 6), ('DB1/S1_A1_E1.mat', 12, 10)],
)
def test_real_recording_becomes_a_bag(tmp_path, name, movements, repetitions):
    folder = Path(os.environ.get('LECONVMN_NINAPRO', REPOSITORY.parent / 'shared' / 'ninapro'))
    path = folder / name
    if not path.exists():
        pytest.skip(f'{path} is not there; LECONVMN_NINAPRO may name the folder of the recordings')
    subject = read_ninapro(path)
    raw = loadmat(path, variable_names=['emg', 'glove', 'restimulus'])
    scale = float(subject.information['emg_volts_per_source_unit'])
    np.testing.assert_allclose(subject.emg, raw['emg'] * scale, rtol=1e-6)
    degrees = np.degrees(subject.positions)
    np.testing.assert_allclose(degrees, raw['glove'][:, GLOVE_COLUMNS[22]], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(subject.movement, raw['restimulus'].ravel())
    done = set(zip(subject.movement.tolist(), subject.repetition.tolist(), strict=True))
    expected = {
        (movement, repetition)
        for movement in range(1, movements + 1)
        for repetition in range(1, repetitions + 1)
    }
    assert {pair for pair in done if pair[0]} == expected
    assert len(JOINT_NAMES) == subject.positions.shape[1]
    write_bag(subject, tmp_path / 'bag')
    assert_bag_holds(subject, tmp_path / 'bag')


@pytest.mark.parametrize(
    ('name', 'frequency', 'database'),
    [
        ('S7_A1_E1.mat', None, 'DB1'),
        ('S7_E1_A1.mat', None, 'DB3'),
        ('s7_e1_a1.mat', None, 'DB3'),
        ('a.mat', 2000.0, 'DB3'),
        ('a.mat', 100.0, 'DB1'),
    ],
)
def test_ten_channels_are_told_apart_by_name_and_frequency(tmp_path, name, frequency, database):
    variables = make_variables('DB1')
    if frequency:
        variables['frequency'] = frequency
    subject = read_ninapro(save(tmp_path / name, variables))
    assert subject.name.startswith(database)
    assert subject.sampling_rate == (100 if database == 'DB1' else 2000)
    assert subject.information['emg_kind'] == ('envelope' if database == 'DB1' else 'raw')


def test_ten_channels_of_an_unknown_name_must_be_named(tmp_path):
    path = save(tmp_path / 'a.mat', make_variables('DB1'))
    with pytest.raises(RecordingError, match='use --database'):
        read_ninapro(path)
    assert read_ninapro(path, database='DB3').sampling_rate == 2000


def test_a_movement_of_100_seconds_is_none(tmp_path):
    variables = make_variables('DB1', 40_000)
    for name, value in (('restimulus', 7), ('rerepetition', 1)):
        variables[name][:] = 0
        variables[name][10_000:20_000] = value
    path = save(tmp_path / 'S7_A1_E1.mat', variables)
    with pytest.raises(RecordingError, match='a movement takes 100 s, and at most 30 s'):
        read_ninapro(path)
    assert read_ninapro(path, rate=2000).sampling_rate == 2000


def test_other_spellings_of_the_variables_are_known(tmp_path):
    spelled = {
        'emg': 'EMG_data',
        'glove': 'Glove',
        'restimulus': 're_stimulus',
        'rerepetition': 'reRepetition',
    }
    variables = {spelled.get(name, name): value for name, value in make_variables().items()}
    subject = read_ninapro(save(tmp_path / 'a.mat', variables))
    np.testing.assert_array_equal(subject.movement, variables['re_stimulus'].ravel())


def test_variables_in_a_struct_are_found(tmp_path):
    subject = read_ninapro(save(tmp_path / 'a.mat', {'data': make_variables()}))
    assert subject.name == 'DB2_a'
    assert subject.information['subject'] == '3'


def test_calibrated_angles_of_db9_replace_the_glove(tmp_path):
    variables = make_variables()
    angles = np.random.default_rng(5).uniform(0, 90, (400, 22))
    save(tmp_path / 'db9.mat', {'angles': angles, 'glove': variables['glove'], 'subject': 3.0})
    recording = save(tmp_path / 'a.mat', variables)
    subject = read_ninapro(recording, angles=tmp_path / 'db9.mat')
    expected = np.radians(angles[:, GLOVE_COLUMNS[22]])
    np.testing.assert_array_equal(subject.positions, expected)
    assert subject.information['joint_unit'] == 'rad'
    with pytest.raises(RecordingError, match='calibrated angles and no EMG'):
        read_ninapro(tmp_path / 'db9.mat')
    with pytest.raises(RecordingError, match='no variable angles'):
        read_ninapro(recording, angles=recording)


@pytest.mark.parametrize('rate', [0, -1, float('nan'), 1e9])
def test_a_rate_that_cannot_be_is_refused(tmp_path, rate):
    with pytest.raises(ConfigurationError, match='rate is'):
        read_ninapro(save(tmp_path / 'a.mat', make_variables()), rate=rate)


@pytest.mark.parametrize(
    ('database', 'channels', 'rings'),
    [('DB5', 16, (tuple(range(8)), tuple(range(8, 16)))), ('DB1', 10, (tuple(range(8)),))],
)
def test_the_place_of_the_electrodes_is_kept_in_the_bag(
    ninapro, tmp_path, database, channels, rings
):
    path = next((ninapro / database).glob('S1_*.mat'))
    subject = read_ninapro(path)
    description = parse_description(subject.information['emg_description'])
    assert len(description.channels) == channels
    assert description.rings == rings
    assert description.offset == ((0.5,) if database == 'DB5' else ())
    short = replace(
        subject,
        emg=subject.emg[:100],
        positions=subject.positions[:100],
        movement=subject.movement[:100],
        repetition=subject.repetition[:100],
    )
    write_bag(short, tmp_path / 'bag')
    assert read_description(tmp_path / 'bag') == description
