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

"""Files: outputs are complete or absent, nothing else is touched, nothing blocks."""

import errno
import json
import os
from pathlib import Path

from leconvmn_ros.core.errors import OutputError
from leconvmn_ros.core.files import (
    check_input,
    check_output,
    create_log,
    hash_file,
    read_input,
    write_bytes,
    write_json,
    write_text,
)
import pytest
from special_files import a_folder, a_link_to_a_file, by_name, LINKS, SPECIAL, state_of


@pytest.mark.parametrize('make', [*SPECIAL, a_folder], ids=by_name)
def test_an_input_that_is_no_regular_file_is_refused_without_waiting(tmp_path, make):
    make(tmp_path / 'input')
    for refuse in (check_input, hash_file, lambda path: read_input(path, 100)):
        with pytest.raises(OSError, match='a regular file is needed'):
            refuse(tmp_path / 'input')


@pytest.mark.parametrize('name', ['/proc/self/status', '/proc/kmsg', '/sys/kernel/profiling'])
def test_a_file_of_the_kernel_is_no_input(name):
    with pytest.raises(OSError, match=r'belongs to the kernel|Permission|No such file'):
        read_input(name, 10**6)


def test_a_link_to_a_regular_file_is_an_input(tmp_path):
    a_link_to_a_file(tmp_path / 'input')
    assert read_input(tmp_path / 'input', 8) == b'precious'


def test_an_input_is_never_read_beyond_what_is_allowed(tmp_path):
    (tmp_path / 'large').write_bytes(b'12345')
    assert read_input(tmp_path / 'large', 5) == b'12345'
    with pytest.raises(OSError, match='it has 5 bytes, at most 4 are allowed') as caught:
        read_input(tmp_path / 'large', 4)
    assert caught.value.errno == errno.EFBIG


def test_a_name_with_a_nul_is_an_ordinary_error():
    with pytest.raises(OSError, match='null'):
        check_input('a\0b')
    with pytest.raises(OutputError, match='cannot write'):
        write_text(Path('a\0b'), '')


@pytest.mark.parametrize('make', [*SPECIAL, *LINKS, a_folder], ids=by_name)
@pytest.mark.parametrize(
    'write',
    [check_output, lambda path: write_text(path, 'x'), create_log],
    ids=['check_output', 'write_text', 'create_log'],
)
def test_an_output_that_is_no_regular_file_is_refused_and_kept(tmp_path, make, write):
    make(tmp_path / 'output')
    before = state_of(tmp_path)
    with pytest.raises(OutputError, match=r'cannot write .*/output: it is a .*only a regular'):
        write(tmp_path / 'output')
    assert state_of(tmp_path) == before


def test_a_file_that_was_there_is_replaced(tmp_path):
    (tmp_path / 'report').write_text('old')
    os.link(tmp_path / 'report', tmp_path / 'other name')
    write_text(tmp_path / 'report', 'new')
    assert (tmp_path / 'report').read_text() == 'new'
    assert (tmp_path / 'other name').read_text() == 'old'


def test_a_log_never_writes_into_another_name_of_the_old_one(tmp_path):
    (tmp_path / 'log').write_text('old')
    os.link(tmp_path / 'log', tmp_path / 'other name')
    with create_log(tmp_path / 'log') as log:
        log.write(b'new')
    assert (tmp_path / 'log').read_text() == 'new'
    assert (tmp_path / 'other name').read_text() == 'old'


@pytest.mark.parametrize('there', [False, True])
@pytest.mark.parametrize(
    ('function', 'error'),
    [
        ('fsync', OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
        ('fsync', KeyboardInterrupt()),
        ('replace', OSError(errno.EIO, 'broken')),
    ],
)
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, there, function, error):
    path = tmp_path / 'report.json'
    if there:
        path.write_text('old')

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(os, function, fail)
    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_text(path, 'new')
    assert [p.name for p in tmp_path.iterdir()] == (['report.json'] if there else [])
    if there:
        assert path.read_text() == 'old'


@pytest.mark.parametrize(
    'place', ['file/report', 'folder', 'folder/..', 'x' * 300, '/proc/nobody/report']
)
def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path, place):
    (tmp_path / 'file').write_text('')
    (tmp_path / 'folder').mkdir()
    with pytest.raises(OutputError, match=r'cannot write .*: '):
        write_bytes(tmp_path / place, b'')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['file', 'folder']


@pytest.mark.parametrize('name', ['x' * 255, 'ü' * 127])
def test_the_longest_names_can_be_written(tmp_path, name):
    write_text(tmp_path / name, 'text')
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_results_are_as_readable_as_any_file(tmp_path):
    (tmp_path / 'plain').write_text('')
    write_text(tmp_path / 'report', 'text')
    assert (tmp_path / 'report').stat().st_mode == (tmp_path / 'plain').stat().st_mode


def test_json_is_strict(tmp_path):
    write_json(tmp_path / 'a.json', {'a': None, 'b': 'ä'})
    assert json.loads((tmp_path / 'a.json').read_text()) == {'a': None, 'b': 'ä'}
    with pytest.raises(ValueError, match='Out of range'):
        write_json(tmp_path / 'a.json', {'a': float('nan')})
    assert json.loads((tmp_path / 'a.json').read_text())['a'] is None
