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

"""Recordings of other formats become bags for training and evaluation."""

from contextlib import suppress
import json
from math import radians
import os
from pathlib import Path
import re
import sys

from leconvmn_ros.cli import main
from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.importers import find_format, FORMATS, ImportOptions
from leconvmn_ros.importers.emg2pose import JOINT_COLUMNS
from leconvmn_ros.importers.ros_messages import _check_names, _parsed
from leconvmn_ros.importers.signals import events_to_labels, rate_of, samples_to_labels
from leconvmn_ros.recordings.array_bag import write_arrays
from leconvmn_ros.recordings.bags import FIRST_STAMP_NS, read_bag
import numpy as np
import pytest
from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_types_from_msg, get_typestore, Stores

SAMPLES, CHANNELS, RATE = 600, 4, 200.0
RANDOM = np.random.default_rng(3)
EMG_UV = RANDOM.normal(0, 50, (SAMPLES, CHANNELS)).round(3)
ANGLES = RANDOM.uniform(0, 1.5, (SAMPLES, 2)).round(4)
MOVEMENT = np.repeat([0, 3, 0, 5, 0, 3], 100)
TIMES = np.arange(SAMPLES) / RATE


def convert(path, output, *words):
    """Run the command and return the bags that it made, by name."""
    code = main(['convert', str(path), '--output', str(output), *map(str, words)])
    assert code == 0
    return {folder.name: read_bag(folder) for folder in sorted(output.iterdir())}


def refused(capsys, path, output, *words):
    """Run the command and return its one-line error."""
    assert main(['convert', str(path), '--output', str(output), *map(str, words)]) != 0
    assert not output.exists() or not list(output.iterdir())
    lines = [line for line in capsys.readouterr().err.splitlines() if 'leconvmn_ros' in line]
    assert len(lines) == 1
    return lines[0]


def assert_emg(recording, expected=EMG_UV * 1e-6, rate=RATE):
    emg = np.concatenate([chunk.samples for chunk in recording.chunks])
    np.testing.assert_allclose(emg, expected, rtol=1e-5, atol=1e-12)
    assert recording.chunks[0].sampling_rate == pytest.approx(rate)
    counts = [chunk.first_sample for chunk in recording.chunks]
    np.testing.assert_array_equal(np.diff(counts), [len(c.samples) for c in recording.chunks[:-1]])
    assert recording.chunks[0].stamp_ns == FIRST_STAMP_NS


def assert_angles(recording, names=('index_mcp', 'index_pip'), expected=ANGLES, rate=RATE):
    assert recording.reference.names == names
    seconds = (recording.reference.stamps_ns - FIRST_STAMP_NS) / 1e9
    rows = np.rint(seconds * rate).astype(int)
    np.testing.assert_allclose(recording.reference.positions, expected[rows], atol=1e-6)


def assert_movements(recording):
    labels = recording.labels
    assert labels.movement.tolist() == [0, 3, 0, 5, 0, 3]
    assert labels.repetition.tolist() == [0, 1, 1, 1, 1, 2]
    seconds = (labels.stamps_ns - FIRST_STAMP_NS) / 1e9
    np.testing.assert_allclose(seconds, np.arange(6) / 2, atol=2 / RATE)


def write_csv(path, *, header=True, delimiter=',', time=True, decimal='.', names=None):
    names = names or ['time', *(f'emg{n}' for n in range(1, 5)), 'index_mcp', 'index_pip', 'move']
    columns = [TIMES, *EMG_UV.T, *ANGLES.T, MOVEMENT]
    if not time:
        names, columns = names[1:], columns[1:]
    lines = [delimiter.join(names)] if header else []
    lines += [
        delimiter.join(f'{value:.6g}'.replace('.', decimal) for value in row)
        for row in zip(*columns, strict=True)
    ]
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return path


def test_csv_with_usual_names_needs_its_unit_alone(tmp_path):
    path = write_csv(tmp_path / 'a.csv')
    bags = convert(path, tmp_path / 'o', '--unit', 'uV', '--movement-column', 'move')
    (recording,) = bags.values()
    assert list(bags) == ['csv_a']
    assert_emg(recording)
    assert_angles(recording)
    assert_movements(recording)
    assert 'emg_kind' not in recording.information


def test_csv_of_other_names_is_read_by_options(tmp_path):
    names = ['zeit', 'a', 'b', 'c', 'd', 'MCP', 'PIP', 'was']
    path = write_csv(tmp_path / 'a.txt', names=names, delimiter=';', decimal=',')
    (recording,) = convert(
        *(path, tmp_path / 'o', '--unit', '1e-6', '--emg-columns', '2-4,d'),
        *('--time-column', 'zeit', '--angles', 'index_mcp=MCP,index_pip=PIP'),
        *('--movement-column', 'was', '--envelope'),
    ).values()
    assert_emg(recording)
    assert_angles(recording)
    assert_movements(recording)
    assert recording.information['emg_kind'] == 'envelope'


def test_csv_without_header_and_time_is_read_by_numbers(tmp_path):
    path = write_csv(tmp_path / 'a.csv', header=False, time=False)
    (recording,) = convert(
        path, tmp_path / 'o', '--unit', 'uV', '--emg-columns', '1-4', '--rate', 200
    ).values()
    assert_emg(recording)
    assert recording.reference is None
    assert recording.labels is None


def test_csv_names_its_unit_in_the_header(tmp_path):
    names = ['t (ms)', *(f'EMG {n} [uV]' for n in range(1, 5)), 'x', 'y', 'z']
    path = write_csv(tmp_path / 'a.csv', names=names)
    text = path.read_text().splitlines()
    rows = [f'{float(line.split(",")[0]) * 1000:g},{line.split(",", 1)[1]}' for line in text[1:]]
    path.write_text('\n'.join([text[0], *rows]))
    (recording,) = convert(path, tmp_path / 'o').values()
    assert_emg(recording)


def test_csv_with_missing_angles_keeps_the_others(tmp_path, capsys):
    path = write_csv(tmp_path / 'a.csv')
    lines = path.read_text().splitlines()
    for row in range(1, 300):
        fields = lines[row].split(',')
        fields[5] = ''
        lines[row] = ','.join(fields)
    path.write_text('\n'.join(lines))
    (recording,) = convert(path, tmp_path / 'o', '--unit', 'uV').values()
    assert_emg(recording)
    assert_angles(recording)
    assert recording.reference.stamps_ns[0] >= FIRST_STAMP_NS + 299 / RATE * 1e9
    assert '299 of 600 rows of angles left out' in capsys.readouterr().err


def test_a_gap_in_the_times_becomes_a_gap_in_the_count(tmp_path, capsys):
    path = write_csv(tmp_path / 'a.csv')
    lines = path.read_text().splitlines()
    path.write_text('\n'.join(lines[:201] + lines[401:]))
    (recording,) = convert(path, tmp_path / 'o', '--unit', 'uV').values()
    counts = [chunk.first_sample for chunk in recording.chunks]
    assert 400 in counts
    assert 204 not in counts
    assert 'gaps in the EMG: 1, 1.00 s in all' in capsys.readouterr().err
    gap = recording.chunks[counts.index(400)]
    assert gap.stamp_ns == FIRST_STAMP_NS + 2 * 10**9


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ((), 'give --unit V, mV, uV'),
        (('--unit', 'parsec'), "unit 'parsec': allowed are V, mV"),
        (('--unit', 'uV', '--rate', 1000), '1000 samples a second are stated, and .* show 200'),
        (('--unit', 'uV', '--rate', 0), '--rate is 0'),
        (('--unit', 'uV', '--emg-columns', 'q'), 'no column q; there are time, emg1'),
        (('--unit', 'uV', '--emg-columns', '5-99'), 'no column 5-99; .* 1 to 8'),
        (('--unit', 'uV', '--angles', 'wrist=emg1'), 'wrist=emg1 is not JOINT=COLUMN'),
        (('--unit', 'uV', '--rate', 200, '--time-unit', 'ms'), 'its times show'),
        (('--unit', 'uV', '--angles', 'index_mcp=emg1'), 'give --angle-unit deg'),
        (('--format', 'edf'), 'is damaged or not an EDF file'),
        (('--format', 'xdf'), 'is damaged or not an XDF file'),
    ],
)
def test_what_must_be_said_is_asked_for_in_one_line(capsys, tmp_path, words, message):
    path = write_csv(tmp_path / 'a.csv')
    assert re.search(message, refused(capsys, path, tmp_path / 'o', *words))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'it is empty'),
        ('emg1,emg2\n', 'no row below its header'),
        ('emg1,emg2\n1,2\n3\n', 'row 3 has 1 columns'),
        ('emg1,emg2\n1,2\n3,x\n', "row 3: .*'x'"),
        ('emg1,emg2\n1,2\n3,nan\n', 'channel 2 is nan at sample 2'),
        ('emg1\n' + '1' * 2**20 + '\n', 'a line has over 1048576 characters'),
        ('a,b\n1,2\n', 'no column is called emg'),
    ],
)
def test_a_table_that_is_none_is_one_clear_error(tmp_path, text, message):
    path = tmp_path / 'a.csv'
    path.write_text(text)
    with pytest.raises((ConfigurationError, RecordingError), match=message):
        list(FORMATS['csv'].read(path, ImportOptions(rate=200.0, volts=1e-6)))


def test_binary_is_no_table(tmp_path):
    (tmp_path / 'a.csv').write_bytes(b'emg1,emg2\n\xff\xfe\n')
    with pytest.raises(RecordingError, match='is not text'):
        list(FORMATS['csv'].read(tmp_path / 'a.csv', ImportOptions(rate=200.0, volts=1e-6)))


def test_brainflow_is_known_by_its_tabs_and_times(tmp_path):
    path = tmp_path / 'a.csv'
    rows = zip(range(SAMPLES), *EMG_UV.T, TIMES + 1.7e9, MOVEMENT, strict=True)
    path.write_text('\n'.join('\t'.join(f'{value:.6f}' for value in row) for row in rows))
    (recording,) = convert(
        path, tmp_path / 'o', '--emg-columns', '1-4', '--movement-column', '6'
    ).values()
    assert recording.name == 'brainflow_a'
    assert_emg(recording)
    assert_movements(recording)
    with pytest.raises(ConfigurationError, match='get_emg_channels'):
        list(find_format(path).read(path, ImportOptions()))


def write_edf(folder, name='a.edf', *, kind='edf', unit='uV', labels=None):
    edfio = pytest.importorskip('edfio')
    signal, file = {
        'edf': (edfio.EdfSignal, edfio.Edf),
        'bdf': (edfio.BdfSignal, edfio.Bdf),
    }[kind]
    labels = labels or [f'EMG {n}' for n in range(1, 5)]
    signals = [
        signal(column, RATE, label=label, physical_dimension=unit, physical_range=(-500, 500))
        for label, column in zip(labels, EMG_UV.T, strict=True)
    ] + [
        signal(column, RATE, label=joint, physical_dimension='rad', physical_range=(-2, 2))
        for joint, column in zip(('index_mcp', 'index_pip'), ANGLES.T, strict=True)
    ]
    events = [
        edfio.EdfAnnotation(start / RATE, None, str(MOVEMENT[start]))
        for start in range(0, SAMPLES, 100)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    file(signals, annotations=events).write(folder / name)
    return folder / name


@pytest.mark.parametrize('kind', ['edf', 'bdf'])
def test_edf_and_bdf_say_everything_themselves(tmp_path, kind):
    path = write_edf(tmp_path, f'a.{kind}', kind=kind)
    (recording,) = convert(path, tmp_path / 'o').values()
    emg = np.concatenate([chunk.samples for chunk in recording.chunks])
    step = 1000e-6 / (2**16 if kind == 'edf' else 2**24)
    np.testing.assert_allclose(emg, EMG_UV * 1e-6, atol=2 * step)
    assert recording.chunks[0].sampling_rate == RATE
    assert recording.reference.names == ('index_mcp', 'index_pip')
    np.testing.assert_allclose(recording.reference.positions, ANGLES[::2], atol=1e-4)
    assert_movements(recording)


def test_edf_in_an_unknown_unit_asks_for_it(tmp_path):
    path = write_edf(tmp_path, unit='au', labels=[f'ch{n}' for n in range(4)])
    with pytest.raises(ConfigurationError, match='no signal is called EMG'):
        list(find_format(path).read(path, ImportOptions()))
    with pytest.raises(ConfigurationError, match="'au': give --unit"):
        list(find_format(path).read(path, ImportOptions(emg=('ch*',))))


def test_a_cut_edf_is_read_up_to_its_end_and_reported_in_one_line(tmp_path, capsys):
    path = write_edf(tmp_path)
    path.write_bytes(path.read_bytes()[:-1000])
    (recording,) = convert(path, tmp_path / 'o').values()
    assert 0 < len(recording.chunks) < 600 / 4
    lines = [line for line in capsys.readouterr().err.splitlines() if 'edf' in line]
    assert any('Data was truncated' in line for line in lines)
    assert not any('site-packages' in line for line in lines)


@pytest.mark.parametrize('place', [0, 200, 252, 700])
def test_a_damaged_edf_is_read_or_one_clear_error(tmp_path, place):
    path = write_edf(tmp_path)
    data = bytearray(path.read_bytes())
    for value in (0, 255, ord('9')):
        data[place : place + 8] = bytes([value]) * 8
        path.write_bytes(data)
        with suppress(RecordingError, ConfigurationError):
            list(FORMATS['edf'].read(path, ImportOptions(volts=1e-6)))


def test_a_bids_folder_becomes_a_bag_per_recording(tmp_path):
    root = tmp_path / 'study'
    for subject in ('01', '02'):
        folder = root / f'sub-{subject}' / 'emg'
        stem = f'sub-{subject}_task-fingers'
        write_edf(folder, f'{stem}_emg.edf', labels=[f'E{n}' for n in range(4)])
        (folder / f'{stem}_channels.tsv').write_text(
            'name\ttype\tunits\n' + ''.join(f'E{n}\tEMG\tuV\n' for n in range(4))
        )
        (folder / f'{stem}_events.tsv').write_text(
            'onset\tduration\ttrial_type\n0.5\t0.5\tfist\n1.5\t0.5\topen\n2.5\t0.4\tfist\n'
        )
    (root / 'dataset_description.json').write_text('{"Name": "a", "BIDSVersion": "1.11.0"}')
    bags = convert(root, tmp_path / 'o')
    assert list(bags) == ['bids_sub-01_task-fingers', 'bids_sub-02_task-fingers']
    for recording in bags.values():
        emg = np.concatenate([chunk.samples for chunk in recording.chunks])
        np.testing.assert_allclose(emg, EMG_UV * 1e-6, atol=1e-7)
        assert recording.labels.movement.tolist() == [1, 0, 2, 0, 1, 0]
        assert recording.labels.repetition.tolist() == [1, 1, 1, 1, 2, 2]


def xdf_chunk(tag, content):
    length = len(content) + 2
    return b'\x04' + length.to_bytes(4, 'little') + tag.to_bytes(2, 'little') + content


def xdf_stream(number, header, samples, times, kind):
    """Return the chunks of a stream, as LabRecorder writes them."""
    head = number.to_bytes(4, 'little')
    yield xdf_chunk(2, head + header.encode())
    content = head + b'\x04' + len(times).to_bytes(4, 'little')
    for time, sample in zip(times, samples, strict=True):
        content += b'\x08' + np.float64(time).tobytes()
        if kind == 'string':
            text = sample.encode()
            content += b'\x01' + bytes([len(text)]) + text
        else:
            content += np.asarray(sample, np.float32).tobytes()
    yield xdf_chunk(3, content)
    foot = f'<?xml version="1.0"?><info><sample_count>{len(times)}</sample_count></info>'
    yield xdf_chunk(6, head + foot.encode())


def xdf_header(name, kind, count, rate, value, *, labels=(), unit=''):
    channels = ''.join(
        f'<channel><label>{label}</label><unit>{unit}</unit></channel>' for label in labels
    )
    return (
        f'<?xml version="1.0"?><info><name>{name}</name><type>{kind}</type>'
        f'<channel_count>{count}</channel_count><nominal_srate>{rate}</nominal_srate>'
        f'<channel_format>{value}</channel_format><source_id>{name}</source_id>'
        f'<desc><channels>{channels}</channels></desc></info>'
    )


def write_xdf(path, unit='microvolts'):
    streams = [
        (
            xdf_header('Armband', 'EMG', 4, RATE, 'float32', labels='abcd', unit=unit),
            EMG_UV,
            TIMES + 1000,
            'float32',
        ),
        (
            xdf_header(
                'Glove', 'MoCap', 2, RATE, 'float32', labels=('index_mcp', 'index_pip'), unit='deg'
            ),
            np.degrees(ANGLES),
            TIMES + 1000,
            'float32',
        ),
        (
            xdf_header('Cue', 'Markers', 1, 0, 'string'),
            [str(MOVEMENT[n]) for n in range(0, SAMPLES, 100)],
            TIMES[::100] + 1000,
            'string',
        ),
    ]
    content = b'XDF:' + xdf_chunk(1, b'<?xml version="1.0"?><info><version>1.0</version></info>')
    for number, stream in enumerate(streams, 1):
        content += b''.join(xdf_stream(number, *stream))
    path.write_bytes(content)
    return path


def test_xdf_with_glove_and_markers_becomes_a_bag(tmp_path):
    pytest.importorskip('pyxdf')
    (recording,) = convert(write_xdf(tmp_path / 'a.xdf'), tmp_path / 'o').values()
    assert_emg(recording)
    assert_angles(recording)
    assert_movements(recording)


def test_xdf_without_a_unit_asks_for_it(tmp_path):
    pytest.importorskip('pyxdf')
    path = write_xdf(tmp_path / 'a.xdf', unit='')
    with pytest.raises(ConfigurationError, match='give --unit'):
        list(find_format(path).read(path, ImportOptions()))
    with pytest.raises(ConfigurationError, match=r'no streams .*Armband \(EMG\), Glove'):
        list(find_format(path).read(path, ImportOptions(stream='Nobody')))


def test_emg2pose_becomes_a_bag_with_ten_joints(tmp_path):
    h5py = pytest.importorskip('h5py')
    kind = [('time', '<f8'), ('joint_angles', '<f8', (20,)), ('emg', '<f4', (16,))]
    rows = np.zeros(4000, kind)
    rows['time'] = 1.67e9 + np.arange(4000) / 2000
    rows['emg'] = RANDOM.normal(0, 1, (4000, 16))
    rows['joint_angles'] = RANDOM.uniform(0, 1, (4000, 20))
    rows['joint_angles'][1000:2000] = 0  # the cameras found no hand
    with h5py.File(tmp_path / 'a.hdf5', 'w') as file:
        group = file.create_group('emg2pose')
        group.attrs['sample_rate'] = 2000.0
        group.attrs['side'] = 'left'
        group.create_dataset('timeseries', data=rows)
    (recording,) = convert(tmp_path / 'a.hdf5', tmp_path / 'o').values()
    assert_emg(recording, rows['emg'] * 1e-6, 2000)
    columns = list(JOINT_COLUMNS.values())
    assert_angles(recording, JOINT_NAMES, rows['joint_angles'][:, columns], 2000)
    seconds = (recording.reference.stamps_ns - FIRST_STAMP_NS) / 1e9
    assert not np.any((seconds > 0.5) & (seconds < 0.999))
    assert recording.information['side'] == 'left'
    assert 'nominal' in recording.information['emg_unit']
    assert recording.information['emg_kind'] == 'raw'


@pytest.mark.parametrize('version', [2, 3])
@pytest.mark.parametrize('window', [1, 4])
def test_a_lerobot_dataset_becomes_a_bag(tmp_path, version, window):
    arrow = pytest.importorskip('pyarrow')
    parquet = pytest.importorskip('pyarrow.parquet')
    root = tmp_path / 'data set'
    (root / 'meta').mkdir(parents=True)
    frames = SAMPLES // window
    shape = [CHANNELS] if window == 1 else [window, CHANNELS]
    info = {
        'codebase_version': f'v{version}.0',
        'fps': RATE / window,
        'features': {
            'observation.emg': {'dtype': 'float32', 'shape': shape},
            'observation.state': {
                'dtype': 'float32',
                'shape': [2],
                'names': ['index_mcp', 'index_pip'],
            },
            'task_index': {'dtype': 'int64', 'shape': [1]},
        },
    }
    (root / 'meta' / 'info.json').write_text(json.dumps(info))
    half = frames // 2
    emg = EMG_UV.reshape(frames, *shape)
    table = {
        'observation.emg': emg.tolist(),
        'observation.state': ANGLES[::window].tolist(),
        'episode_index': [0] * half + [1] * (frames - half),
        'task_index': [0] * frames,
    }
    (root / 'data' / 'chunk-000').mkdir(parents=True)
    parts = [('file-000', slice(None))]
    if version == 2:
        parts = [('episode_000000', slice(0, half)), ('episode_000001', slice(half, None))]
    for name, rows in parts:
        part = {key: values[rows] for key, values in table.items()}
        parquet.write_table(arrow.table(part), root / 'data' / 'chunk-000' / f'{name}.parquet')
    (recording,) = convert(root, tmp_path / 'o', '--unit', 'uV').values()
    samples = np.concatenate([chunk.samples for chunk in recording.chunks])
    np.testing.assert_allclose(samples, EMG_UV * 1e-6, rtol=1e-5, atol=1e-12)
    assert recording.chunks[0].sampling_rate == RATE
    assert recording.labels.movement.tolist() == [1, 0, 1, 0]
    assert recording.labels.repetition.tolist() == [1, 1, 2, 2]
    # Episodes lie a second apart.
    steps = np.diff([chunk.stamp_ns for chunk in recording.chunks])
    assert max(steps) == pytest.approx(1.02e9, rel=0.05)
    assert recording.reference.names == ('index_mcp', 'index_pip')
    with pytest.raises(ConfigurationError, match='give --unit'):
        list(find_format(root).read(root, ImportOptions()))


def test_a_lerobot_dataset_that_expands_is_refused_by_its_counts(tmp_path, monkeypatch):
    """In parquet, a list of one value repeated a hundred million times takes a few bytes."""
    arrow = pytest.importorskip('pyarrow')
    parquet = pytest.importorskip('pyarrow.parquet')
    for name in ('meta', 'data'):
        (tmp_path / name).mkdir()
    info = {'fps': 10, 'features': {'observation.emg': {'shape': [4]}}}
    (tmp_path / 'meta' / 'info.json').write_text(json.dumps(info))
    inner = arrow.array(np.zeros(30_000_000, np.int8))
    rows = arrow.ListArray.from_arrays(arrow.array([0, 30_000_000]), inner)
    table = arrow.table({'observation.emg': rows, 'episode_index': [0]})
    file = tmp_path / 'data' / 'a.parquet'
    parquet.write_table(table, file)
    assert file.stat().st_size < 10_000
    monkeypatch.setattr('leconvmn_ros.importers.lerobot._MOST_VALUES', 10_000_000)
    with pytest.raises(RecordingError, match='values and more'):
        list(FORMATS['lerobot'].read(tmp_path, ImportOptions(volts=1e-6)))


MYO = 'Header header\nint8[4] emg\nuint8 quality\n'.replace('Header', 'std_msgs/Header')


def foreign_store():
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg(MYO, 'my_driver/msg/MyoEmg'))
    return store


def write_ros2(path):
    """Write a bag of Float32MultiArray (two samples each), JointState and Int32."""
    store = foreign_store()
    types = store.types
    layout = types['std_msgs/msg/MultiArrayLayout'](dim=[], data_offset=0)
    dimension = types['std_msgs/msg/MultiArrayDimension']
    layout = types['std_msgs/msg/MultiArrayLayout'](
        dim=[dimension(label='samples', size=2, stride=8), dimension('channels', 4, 4)],
        data_offset=0,
    )
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as bag:
        emg, joints, cue = (
            bag.add_connection(topic, kind, typestore=store)
            for topic, kind in (
                ('/armband/emg', 'std_msgs/msg/Float32MultiArray'),
                ('/glove', 'sensor_msgs/msg/JointState'),
                ('/cue', 'std_msgs/msg/Int32'),
            )
        )
        for start in range(0, SAMPLES, 2):
            data = EMG_UV[start : start + 2].reshape(-1).astype(np.float32)
            message = types['std_msgs/msg/Float32MultiArray'](layout=layout, data=data)
            arrived = 10**18 + round((start + 1) / RATE * 1e9)
            bag.write(emg, arrived, store.serialize_cdr(message, emg.msgtype))
            stamp = types['builtin_interfaces/msg/Time'](
                *divmod(10**18 + round(start / RATE * 1e9), 10**9)
            )
            message = types['sensor_msgs/msg/JointState'](
                header=types['std_msgs/msg/Header'](stamp=stamp, frame_id=''),
                name=['elbow', 'index_mcp', 'index_pip'],
                position=np.array([1, *ANGLES[start]]),
                velocity=np.zeros(0),
                effort=np.zeros(0),
            )
            bag.write(joints, arrived, store.serialize_cdr(message, joints.msgtype))
            if start % 100 == 0:
                message = types['std_msgs/msg/Int32'](data=int(MOVEMENT[start]))
                bag.write(cue, arrived, store.serialize_cdr(message, cue.msgtype))
    return path


def test_a_ros_2_bag_with_a_multi_array_needs_its_unit_alone(tmp_path, capsys):
    path = write_ros2(tmp_path / 'bag')
    (recording,) = convert(path, tmp_path / 'o', '--unit', 'uV').values()
    assert_emg(recording)
    assert_angles(recording)
    assert 'give --unit' in refused(capsys, path, tmp_path / 'p')


def test_a_mapping_names_topics_and_fields(tmp_path):
    path = write_ros2(tmp_path / 'bag')
    (tmp_path / 'm.yaml').write_text(
        'emg: {topic: /armband/emg, channels: 4, rate: 200, unit: uV}\n'
        'angles: {topic: /glove, joints: {ring_mcp: index_pip}, unit: rad}\n'
        'labels: {topic: /cue}\n'
    )
    (recording,) = convert(path, tmp_path / 'o', '--mapping', tmp_path / 'm.yaml').values()
    assert_emg(recording)
    assert_angles(recording, ('ring_mcp',), ANGLES[:, 1:])
    assert_movements(recording)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('emg: {topic: /nobody}', 'no topic /nobody; there are /armband/emg'),
        ('emg: {topic: /armband/emg, unit: uV, data: amplitudes}', 'no field amplitudes'),
        ('emg: {topic: /armband/emg, unit: uV, data: __class__}', 'no field __class__'),
        ('emg: {topic: /armband/emg, unit: uV, channels: 7}', '8 values for 7 channels'),
        ('emg: {topic: /armband/emg, unit: uV, data: layout}', 'holds no numbers'),
        ('emg: {topic: /armband/emg, unit: furlong}', "unit 'furlong'"),
        ('emg: {topics: /armband/emg}', 'emg.topic'),
        ('- 1', '.'),
    ],
)
def test_a_wrong_mapping_is_one_clear_error(tmp_path, text, message):
    path = write_ros2(tmp_path / 'bag')
    (tmp_path / 'm.yaml').write_text(text)
    with pytest.raises((ConfigurationError, RecordingError), match=message):
        list(find_format(path).read(path, ImportOptions(mapping=tmp_path / 'm.yaml')))


def test_a_ros_1_bag_of_a_driver_becomes_a_bag(tmp_path):
    store = get_typestore(Stores.ROS1_NOETIC)
    store.register(get_types_from_msg(MYO, 'my_driver/msg/MyoEmg'))
    types = store.types
    counts = RANDOM.integers(-128, 128, (SAMPLES, 4)).astype(np.int8)
    with Ros1Writer(tmp_path / 'a.bag') as bag:
        emg = bag.add_connection('/myo/emg', 'my_driver/msg/MyoEmg', typestore=store)
        for n in range(SAMPLES):
            stamp = types['builtin_interfaces/msg/Time'](
                *divmod(1_600_000_000 * 10**9 + round(n / RATE * 1e9), 10**9)
            )
            message = types['my_driver/msg/MyoEmg'](
                header=types['std_msgs/msg/Header'](seq=n, stamp=stamp, frame_id=''),
                emg=counts[n],
                quality=1,
            )
            arrived = 1_600_000_000 * 10**9 + n * 5_000_000
            bag.write(emg, arrived, store.serialize_ros1(message, emg.msgtype))
    (recording,) = convert(tmp_path / 'a.bag', tmp_path / 'o', '--unit', '1e-5').values()
    assert_emg(recording, counts * 1e-5)
    with pytest.raises(RecordingError, match=r'bag of ROS 1: `leconvmn_ros convert .*EmgArray'):
        read_bag(tmp_path / 'a.bag')


def test_a_bag_with_foreign_emg_names_the_way_in(tmp_path):
    path = write_ros2(tmp_path / 'bag')
    with pytest.raises(RecordingError, match='`leconvmn_ros convert BAG --output FOLDER`'):
        read_bag(path)
    with pytest.raises(RecordingError, match=r'it must carry .*`leconvmn_ros convert'):
        read_bag(path, emg_topic='/armband/emg')


@pytest.mark.parametrize(
    'text',
    [
        'int32 __class__\n',
        'int32 x__y\n',
        'int32 lambda\n',
        'int32 import\n',
    ],
)
def test_a_definition_with_names_that_ros_has_not_is_refused(text):
    definition = MessageDefinition(MessageDefinitionFormat.MSG, text)
    with pytest.raises(RecordingError, match=r'not valid in ROS|not readable'):
        _check_names('a/msg/B', _parsed('a/msg/B', definition))


@pytest.mark.parametrize(
    ('library', 'make', 'extra'),
    [
        ('pyxdf', lambda folder: write_xdf(folder / 'a.xdf'), 'xdf'),
        ('edfio', write_edf, 'edf'),
    ],
)
def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch, library, make, extra):
    pytest.importorskip(library)
    path = make(tmp_path)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        ConfigurationError, match=rf"{library} is needed .*pip install 'leconvmn_ros\[{extra}\]'"
    ):
        list(find_format(path).read(path, ImportOptions()))


@pytest.mark.parametrize('make', [os.mkfifo, Path.mkdir, Path.touch], ids=['fifo', 'dir', 'file'])
def test_what_is_no_recording_is_one_clear_error(capsys, tmp_path, make):
    make(tmp_path / 'thing')
    assert 'thing' in refused(capsys, tmp_path / 'thing', tmp_path / 'o')


def test_emg_in_the_wrong_unit_is_pointed_out(tmp_path, capsys):
    path = write_csv(tmp_path / 'a.csv')
    convert(path, tmp_path / 'o', '--unit', 'V')
    assert 'not that of surface EMG: is --unit right?' in capsys.readouterr().out


def test_texts_become_movements_in_the_order_of_the_alphabet():
    signal = events_to_labels([2.0, 0.0, 4.0], [3.0, None, None], ['open', 'fist', 'Rest'])
    assert signal.times.tolist() == [0, 2, 3, 4]
    assert signal.movement.tolist() == [1, 2, 0, 0]
    assert signal.names == {1: 'fist', 2: 'open'}
    assert events_to_labels([], [], []) is None


def test_given_repetitions_are_kept_during_rest():
    signal = samples_to_labels(
        np.arange(6.0), ['0', '3', '3', '0', '3.0', '0'], ['0', '2', '2', '0', '5', '0']
    )
    assert signal.times.tolist() == [0, 1, 3, 4, 5]
    assert signal.movement.tolist() == [0, 3, 0, 3, 0]
    assert signal.repetition.tolist() == [0, 2, 2, 5, 5]


def test_the_rate_is_that_of_the_times_without_gaps():
    times = np.concatenate([np.arange(100) / 200, 60 + np.arange(100) / 200])
    assert rate_of(times, None, 'a') == 200
    batches = np.repeat(np.arange(50) / 25, 8)  # one time per batch of 8
    assert rate_of(batches, None, 'a') == pytest.approx(200, rel=0.05)
    with pytest.raises(RecordingError, match='goes back from 1'):
        rate_of(np.array([0.0, 1, 0.5]), None, 'a')


def test_arrays_become_a_bag(tmp_path):
    write_arrays(
        tmp_path / 'bag',
        EMG_UV * 1e-6,
        RATE,
        ANGLES,
        joint_names=('index_mcp', 'index_pip'),
        movement=MOVEMENT,
        repetition=np.repeat([0, 1, 1, 1, 1, 2], 100),
    )
    recording = read_bag(tmp_path / 'bag')
    assert_emg(recording)
    assert_angles(recording)
    assert_movements(recording)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'emg': np.zeros(3)}, 'samples, channels'),
        ({'emg': np.full((4, 2), np.nan)}, 'channel 0 is not finite at sample 0'),
        ({'rate': 0.0}, 'above 0'),
        ({'angles': np.zeros((4, 9))}, 'for 10 joints'),
        ({'angles': np.full((4, 10), np.inf)}, 'not finite'),
        ({'angles': np.zeros((2, 10)), 'angle_times': [1, 0]}, 'must not fall'),
        ({'movement': np.zeros(5)}, 'beside 4 samples'),
    ],
)
def test_arrays_that_do_not_fit_are_one_clear_error(tmp_path, change, message):
    values = {'emg': np.zeros((4, 2)), 'rate': 100.0} | change
    with pytest.raises(RecordingError, match=message):
        write_arrays(tmp_path / 'bag', **values)
    assert list(tmp_path.iterdir()) == []


def test_degrees_become_radians(tmp_path):
    path = write_csv(tmp_path / 'a.csv')
    (recording,) = convert(path, tmp_path / 'o', '--unit', 'uV', '--angle-unit', 'deg').values()
    assert_angles(recording, expected=ANGLES * radians(1))
