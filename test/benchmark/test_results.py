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

"""Cached results of runs: what is damaged or claims too much is one clear error."""

from io import BytesIO
import os
import tracemalloc
from zipfile import ZIP_DEFLATED, ZipFile

from leconvmn_ros.benchmark.results import COMPARISON_FILE, pack_comparison, read_comparison
from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.evaluation.comparison import Comparison
import numpy as np
import pytest

GOOD = Comparison(np.arange(4), ('a', 'b'), np.zeros((4, 2)), np.ones((4, 2)))


def array_bytes(array, **header):
    """Return an .npy file, of which header and content need not agree."""
    content = BytesIO()
    np.save(content, array)
    data = content.getvalue()
    start = data.index(b'{')
    text = {
        'descr': np.lib.format.dtype_to_descr(array.dtype),
        'fortran_order': False,
        'shape': array.shape,
    } | header
    line = repr(text).encode()
    return data[:start] + line.ljust(data.index(b'\n') - start) + data[data.index(b'\n') :]


def write(folder, **members):
    arrays = {
        'stamps_ns': array_bytes(np.arange(4)),
        'names': array_bytes(np.array(['a', 'b'])),
        'truth': array_bytes(np.zeros((4, 2), np.float32)),
        'estimate': array_bytes(np.zeros((4, 2), np.float32)),
    } | members
    with ZipFile(folder / COMPARISON_FILE, 'w', ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(f'{name}.npy', content)


def test_what_was_packed_comes_back(tmp_path):
    (tmp_path / COMPARISON_FILE).write_bytes(pack_comparison(GOOD))
    back = read_comparison(tmp_path)
    assert back.names == GOOD.names
    np.testing.assert_array_equal(back.estimate, GOOD.estimate)


@pytest.mark.parametrize(
    ('members', 'message'),
    [
        ({'truth': array_bytes(np.zeros((4, 3), np.float32))}, 'truth has shape'),
        ({'truth': array_bytes(np.zeros(8, np.float32))}, 'truth has shape'),
        ({'estimate': array_bytes(np.zeros((3, 2), np.float32))}, 'estimate has shape'),
        ({'stamps_ns': array_bytes(np.zeros((4, 1), int))}, 'shape'),
        ({'names': array_bytes(np.array(['a', 'b', 'c']))}, 'and 3 joints'),
        ({'truth': array_bytes(np.zeros((4, 2), complex))}, 'numbers of at most'),
        ({'truth': array_bytes(np.zeros(4), shape=(2**40, 10))}, 'claims .1099511627776, 10.'),
        ({'truth': array_bytes(np.zeros(4), shape=(-4, -2))}, '.'),
        ({'truth': array_bytes(np.zeros(4), descr='|O')}, 'numbers of at most'),
        ({'truth': b'nonsense'}, 'cannot read'),
        ({'truth': b''}, 'cannot read'),
    ],
)
def test_a_wrong_array_is_one_clear_error_and_takes_no_memory(tmp_path, members, message):
    write(tmp_path, **members)
    tracemalloc.start()
    try:
        with pytest.raises(RecordingError, match=message):
            read_comparison(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize('content', [b'', b'PK', b'x' * 1000])
def test_a_file_that_is_no_archive_is_one_clear_error(tmp_path, content):
    (tmp_path / COMPARISON_FILE).write_bytes(content)
    with pytest.raises(RecordingError, match='cannot read'):
        read_comparison(tmp_path)


def test_a_fifo_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / COMPARISON_FILE)
    with pytest.raises(RecordingError, match='it is a FIFO'):
        read_comparison(tmp_path)
