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

"""MATLAB files, and files that only claim to be MATLAB files."""

import struct
import sys
import tracemalloc
import zlib

from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.recordings.mat5_file import Mat5File as MatFile
from leconvmn_ros.recordings.mat_file import open_mat
import numpy as np
import pytest
from scipy.io import savemat

HEADER_BYTES = 128


def matrix_element(
    name, shape, values=b'', *, claimed=None, matlab_class=6, data_type=9, data=None
):
    """Return a MATLAB 5 matrix, by default of doubles, whose fields need not be true."""
    flags = struct.pack('<IIII', 6, 8, matlab_class, 0)
    sizes = struct.pack(f'<II{len(shape)}i', 5, 4 * len(shape), *shape)
    sizes += b'\0' * (-len(sizes) % 8)
    text = name.encode()
    label = struct.pack('<II', 1, len(text)) + text + b'\0' * (-len(text) % 8)
    length = len(values) if data is None else data
    body = flags + sizes + label + struct.pack('<II', data_type, length) + values
    return struct.pack('<II', 14, len(body) if claimed is None else claimed) + body


def compressed(element):
    content = zlib.compress(element)
    return struct.pack('<II', 15, len(content)) + content


def write_elements(path, *elements):
    header = b'MATLAB 5.0 MAT-file, made up'.ljust(124) + struct.pack('<H', 0x0100) + b'IM'
    path.write_bytes(header + b''.join(elements))
    return path


@pytest.mark.parametrize('compression', [True, False])
@pytest.mark.parametrize('dtype', ['f8', 'f4', 'i1', 'u2', 'i8', '?'])
def test_loads_what_was_saved(tmp_path, compression, dtype):
    values = (np.arange(12).reshape(4, 3) % 2).astype(dtype)
    savemat(tmp_path / 'a.mat', {'x': values, 'y': 5.0, 'text': 'no'}, do_compression=compression)
    file = MatFile(tmp_path / 'a.mat')
    assert file.variables['x'].shape == (4, 3)
    np.testing.assert_array_equal(file.load('x'), values)
    assert file.load('y').item() == 5.0


def test_element_written_by_hand_is_valid(tmp_path):
    values = np.array([1.0, 2.0, 3.0]).tobytes()
    for element in (
        matrix_element('x', (3, 1), values),
        compressed(matrix_element('x', (3, 1), values)),
    ):
        file = MatFile(write_elements(tmp_path / 'a.mat', element))
        assert file.load('x').ravel().tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'', 'not a MATLAB file'),
        (b'hello', 'not a MATLAB file'),
        (b'\0' * 1000, 'not a MATLAB file'),
        (b'MATLAB 7.3 MAT-file, Platform: GLNXA64'.ljust(126) + b'IM', 'not an HDF5 file'),
        (b'\x89HDF\r\n\x1a\n'.ljust(600), 'not an HDF5 file'),
    ],
)
def test_other_formats_are_one_clear_error(tmp_path, content, reason):
    (tmp_path / 'a.mat').write_bytes(content)
    with pytest.raises(RecordingError, match=reason):
        open_mat(tmp_path / 'a.mat')


def test_a_matlab_7_3_file_without_h5py_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'h5py', None)
    (tmp_path / 'a.mat').write_bytes(b'\x89HDF\r\n\x1a\n'.ljust(600))
    with pytest.raises(ConfigurationError, match=r'h5py is needed .*leconvmn_ros\[hdf5\]'):
        open_mat(tmp_path / 'a.mat')


def write_7_3(path, variables):
    """Write a file like MATLAB: a user block of 512 bytes, arrays with reversed dimensions."""
    h5py = pytest.importorskip('h5py')
    with h5py.File(path, 'w', userblock_size=512) as file:
        for name, value in variables.items():
            group = file
            if isinstance(value, dict):
                group, (name, value) = file.create_group(name), *value.items()  # noqa: PLW2901
            group.create_dataset(name, data=np.asarray(value).T)
    with path.open('r+b') as file:
        file.write(b'MATLAB 7.3 MAT-file, Platform: GLNXA64'.ljust(124) + b'\0\2IM')
    return path


@pytest.mark.parametrize('version', ['4', '5', '7.3'])
def test_every_version_of_matlab_is_read(tmp_path, version):
    path, values = tmp_path / 'a.mat', np.arange(12.0).reshape(4, 3)
    if version == '7.3':
        write_7_3(path, {'x': values, 'y': np.float64([[5]])})
    else:
        savemat(path, {'x': values, 'y': 5.0}, format=version)
    file = open_mat(path)
    assert file.variables['x'].shape == (4, 3)
    np.testing.assert_array_equal(file.load('x'), values)
    assert file.load('y').item() == 5


@pytest.mark.parametrize('version', ['5', '5 compressed', '7.3'])
def test_fields_of_a_struct_are_variables(tmp_path, version):
    path, values = tmp_path / 'a.mat', np.arange(12.0).reshape(4, 3)
    if version == '7.3':
        write_7_3(path, {'data': {'x': values}})
    else:
        fields = {'x': values, 'much_longer_name': np.int8([[1, 2]]), 'text': 'no', 'none': []}
        savemat(path, {'data': fields}, do_compression='compressed' in version)
    file = open_mat(path)
    assert file.variables['x'].shape == (4, 3)
    np.testing.assert_array_equal(file.load('x'), values)


def test_a_matlab_4_file_that_claims_more_takes_no_memory(tmp_path):
    path = tmp_path / 'a.mat'
    savemat(path, {'x': np.zeros((2, 2))}, format='4')
    data = bytearray(path.read_bytes())
    data[4:12] = struct.pack('<ii', 20_000, 10_000)
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(RecordingError):
            open_mat(path).load('x')
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_hdf5_data_outside_the_file_are_not_read(tmp_path):
    h5py = pytest.importorskip('h5py')
    (tmp_path / 'secret').write_bytes(bytes(80))
    with h5py.File(tmp_path / 'a.mat', 'w') as file:
        file['link'] = h5py.ExternalLink('other.h5', '/x')
        file.create_dataset(
            'x', (10,), 'f8', external=[(str(tmp_path / 'secret'), 0, h5py.h5f.UNLIMITED)]
        )
        file.create_dataset('huge', (2**20, 2**20), 'f8', chunks=(1, 1024))
    opened = open_mat(tmp_path / 'a.mat')
    assert 'link' not in opened.variables
    with pytest.raises(RecordingError, match='another file'):
        opened.load('x')
    with pytest.raises(RecordingError, match='at most'):
        opened.load('huge')


def test_missing_file_and_folder_are_one_clear_error(tmp_path):
    with pytest.raises(RecordingError, match='No such file'):
        MatFile(tmp_path / 'missing.mat')
    with pytest.raises(RecordingError, match='cannot read'):
        MatFile(tmp_path)


@pytest.mark.parametrize(
    'value', ['text', np.array([1 + 2j, 3]), {'field': 1}, np.array([[1, 'a']], dtype=object)]
)
def test_loads_nothing_but_real_numbers(tmp_path, value):
    savemat(tmp_path / 'a.mat', {'x': value})
    with pytest.raises(RecordingError, match='numbers'):
        MatFile(tmp_path / 'a.mat').load('x')


def with_name_length(length):
    """Return an element whose name claims a length: found by fuzzing."""
    element = matrix_element('name_of_it', (1, 1), b'12345678')
    place = element.index(b'name_of_it') - 4
    return element[:place] + struct.pack('<I', length) + element[place + 4 :]


def hostile_elements():
    huge = (2**31 - 1, 2**31 - 1)
    zeros = bytes(300_000_000)
    return {
        'bomb behind a small shape': compressed(matrix_element('x', (2, 2), zeros)),
        'shape without data': matrix_element('x', huge),
        'compressed shape without data': compressed(matrix_element('x', huge)),
        'data shorter than its length': matrix_element('x', (4, 4), b'12345678', data=2**32 - 1),
        'compressed data shorter than its length': compressed(
            matrix_element('x', (4, 4), b'12345678', data=2**32 - 1)
        ),
        'matrix longer than the file': matrix_element('x', (1, 1), b'12345678', claimed=2**31),
        'shape of 40 dimensions': matrix_element('x', (1,) * 40, b'12345678'),
        'negative shape': matrix_element('x', (-4, -4), b'12345678'),
        'strange type of data': matrix_element('x', (1, 1), b'12345678', data_type=77),
        'reserved type of data': matrix_element('x', (1, 1), b'12345678', data_type=8),
        'cells that claim to be logical': matrix_element('x', (1, 1), matlab_class=1 | 0x0200),
        'object that claims to be logical': matrix_element('x', (1, 1), matlab_class=3 | 0x0200),
        'element that is no matrix': struct.pack('<II', 9, 8) + b'12345678',
        'empty element': struct.pack('<II', 14, 0),
        'half a tag': b'\x0e\0\0',
        'deflated nonsense': struct.pack('<II', 15, 8) + b'nonsense',
        'name longer than the file': with_name_length(2**31),
        'compressed name longer than the file': compressed(with_name_length(2**31)),
        'name of two lines': matrix_element('x\ny', (1, 1), b'12345678'),
        'many elements': matrix_element('x', (1, 1), b'12345678') * 1001,
    }


def test_hostile_files_are_one_clear_error_and_take_no_memory(tmp_path):
    for name, element in hostile_elements().items():
        path = write_elements(tmp_path / 'a.mat', element)
        del element
        tracemalloc.start()
        try:
            with pytest.raises(RecordingError):
                MatFile(path).load('x')
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 5_000_000, name


@pytest.mark.parametrize('compression', [True, False])
def test_damage_gives_values_or_one_clear_error(tmp_path, compression):
    path = tmp_path / 'a.mat'
    values = np.random.default_rng(1).normal(size=(20, 3))
    savemat(path, {'x': values, 'y': np.int8([[1, 2]])}, do_compression=compression)
    whole = path.read_bytes()
    random = np.random.default_rng(2)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        place = int(random.integers(HEADER_BYTES - 4, len(data)))
        if random.random() < 0.8:
            data[place] ^= 1 << int(random.integers(8))
        else:
            del data[place:]
        path.write_bytes(data)
        try:
            file = MatFile(path)
            for name in file.variables:
                file.load(name)
        except RecordingError:
            refused += 1
    assert refused > 50
