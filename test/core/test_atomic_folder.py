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

"""Folders appear complete or not at all, and only a folder of the same kind is replaced."""

import errno
import os
from pathlib import Path
import signal

from leconvmn_ros.core.atomic_folder import (
    AtomicFolder,
    check_output_folder,
    complete_folder,
    FolderKind,
)
from leconvmn_ros.core.errors import OutputError
import pytest
from special_files import by_name, LINKS, SPECIAL, state_of

KIND = FolderKind('box', 'label.txt', ('label.txt', '*.dat'))


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
        with pytest.raises(OutputError, match=r'output exists and is not a box'):
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
