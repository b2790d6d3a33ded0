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

"""Creates files that are not regular, in the place of inputs and outputs."""

import os
import socket

import pytest


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
