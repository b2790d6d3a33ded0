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

"""Files and folders: outputs whole or not at all, nothing else touched, nothing waited for."""

import errno
import json
import os
from pathlib import Path
import signal
import socket

from leconvmn_ros.core.errors import OutputError
from leconvmn_ros.core.files import (
    AtomicFolder,
    check_input,
    check_output,
    check_output_folder,
    complete_folder,
    create_log,
    FolderKind,
    hash_file,
    read_input,
    write_bytes,
    write_json,
    write_text,
)
import pytest

KIND = FolderKind('box', 'label.txt', ('label.txt', '*.dat'))


def a_fifo(place):
    os.mkfifo(place)


def a_device(place):
    try:
        os.mknod(place, 0o600 | 0o020000, os.makedev(1, 3))  # as /dev/null
    except PermissionError:
        pytest.skip('only root makes devices')


def a_socket(place):
    # A name of a socket has 108 bytes at most.
    here = os.open(place.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f'/proc/self/fd/{here}/{place.name}')
    os.close(here)


def a_link_to_a_file(place):
    (place.parent / 'target').write_text('precious')
    place.symlink_to('target')


def a_link_to_nowhere(place):
    place.symlink_to('nowhere')


def a_link_to_a_folder(place):
    (place.parent / 'target').mkdir()
    (place.parent / 'target' / 'precious').touch()
    place.symlink_to('target')


def a_folder(place):
    place.mkdir()


SPECIAL = [a_fifo, a_device, a_socket]
LINKS = [a_link_to_a_file, a_link_to_nowhere, a_link_to_a_folder]


def by_name(make):
    return make.__name__


def state_of(folder):
    return {
        path.relative_to(folder): (path.lstat().st_mode, path.lstat().st_ino)
        for path in folder.rglob('*')
    }


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


def make_box(place, text='new'):
    with complete_folder(place, KIND, overwrite=True) as box:
        box.mkdir()
        (box / 'label.txt').write_text(text)


def an_empty_folder(place):
    place.mkdir()


def a_file(place):
    place.touch()


def a_box_with_a_file_of_the_user(place):
    make_box(place)
    (place / 'thesis.tex').touch()


def a_box_with_a_link(place):
    make_box(place)
    (place / 'a.dat').symlink_to('/etc/passwd')


@pytest.mark.parametrize(
    'make',
    [*SPECIAL, *LINKS, a_file, an_empty_folder, a_box_with_a_file_of_the_user, a_box_with_a_link],
    ids=by_name,
)
def test_only_a_folder_of_the_same_kind_is_replaced(tmp_path, make):
    make(tmp_path / 'output')
    before = state_of(tmp_path)
    for write in (make_box, lambda path: check_output_folder(path, KIND, overwrite=True)):
        with pytest.raises(OutputError, match=r'output exists and is no box'):
            write(tmp_path / 'output')
    assert state_of(tmp_path) == before


def test_a_complete_folder_replaces_the_old_one(tmp_path):
    make_box(tmp_path / 'box', 'old')
    make_box(tmp_path / 'box', 'new')
    assert (tmp_path / 'box' / 'label.txt').read_text() == 'new'
    assert [p.name for p in tmp_path.iterdir()] == ['box']


def test_what_lies_under_the_names_of_older_hidden_folders_is_not_touched(tmp_path):
    (tmp_path / 'home').mkdir()
    (tmp_path / 'home' / 'precious').touch()
    (tmp_path / '.box.partial').symlink_to('home')
    (tmp_path / f'.box.{"0" * 16}.partial').symlink_to('home')
    (tmp_path / f'.box.{"1" * 16}.partial').mkdir()
    (tmp_path / f'.box.{"1" * 16}.partial' / 'precious').touch()
    before = state_of(tmp_path)
    make_box(tmp_path / 'box')
    after = state_of(tmp_path)
    assert {path: after[path] for path in before} == before


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    kill_while_writing(tmp_path / 'box')
    (left,) = tmp_path.iterdir()
    assert left.name.startswith('.box.')
    make_box(tmp_path / 'box')
    assert [p.name for p in tmp_path.iterdir()] == ['box']


def test_a_folder_that_was_being_replaced_at_a_kill_is_put_back(tmp_path):
    make_box(tmp_path / 'box', 'old')
    kill_while_writing(tmp_path / 'box')
    left = next(p for p in tmp_path.iterdir() if p.name != 'box')
    (tmp_path / 'box').rename(left / 'replaced')
    with pytest.raises(OutputError, match='exists already'):
        AtomicFolder(tmp_path / 'box', KIND, overwrite=False).begin()
    assert (tmp_path / 'box' / 'label.txt').read_text() == 'old'
    assert [p.name for p in tmp_path.iterdir()] == ['box']


def kill_while_writing(target):
    child = os.fork()
    if child == 0:
        with complete_folder(target, KIND, overwrite=True) as box:
            box.mkdir()
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_two_processes_do_not_write_the_same_folder(tmp_path):
    with complete_folder(tmp_path / 'box', KIND, overwrite=True) as box:
        with pytest.raises(OutputError, match='being written by another process'):
            make_box(tmp_path / 'box')
        box.mkdir()
        (box / 'label.txt').write_text('first')
    assert (tmp_path / 'box' / 'label.txt').read_text() == 'first'


@pytest.mark.parametrize('failing_call', [1, 2])
@pytest.mark.parametrize('error', [OSError(errno.EIO, 'broken'), KeyboardInterrupt()])
def test_a_failure_while_replacing_keeps_the_old_folder(
    tmp_path, monkeypatch, failing_call, error
):
    make_box(tmp_path / 'box', 'old')
    calls = []
    rename = Path.rename

    def fail(self, target):
        calls.append(target)
        if len(calls) == failing_call:
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, 'rename', fail)
    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        make_box(tmp_path / 'box', 'new')
    assert (tmp_path / 'box' / 'label.txt').read_text() == 'old'
    assert [p.name for p in tmp_path.iterdir()] == ['box']


def test_an_exception_leaves_no_folder(tmp_path):
    def fail():
        with complete_folder(tmp_path / 'box', KIND, overwrite=True) as box:
            box.mkdir()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OutputError, match='No space'):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_the_root_folder_is_refused():
    with pytest.raises(OutputError, match='root folder'):
        AtomicFolder(Path('/'), KIND, overwrite=True)
