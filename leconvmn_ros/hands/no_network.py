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

"""Cuts a process off from the network for good, for a library that reports to its maker.

A filter of system calls (seccomp) refuses every new socket. This includes services on the same
machine, since they resolve names for others. It needs no privileges and cannot be undone by the
process or its children. Linux on x86-64 and ARM64.
"""

import ctypes
import errno
import os
import platform
from typing import NamedTuple

from leconvmn_ros.core.errors import ConfigurationError

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
# Classic BPF: load a word, jump if equal or at least, return.
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
# Offsets in struct seccomp_data of the call number and the architecture.
_NUMBER, _ARCHITECTURE = 0, 4
# First call number of x86-64's second set (x32).
_SECOND_SET = 0x40000000


class _Machine(NamedTuple):
    architecture: int
    socket: int
    io_uring_setup: int


_MACHINES = {
    'x86_64': _Machine(0xC000003E, 41, 425),
    'aarch64': _Machine(0xC00000B7, 198, 425),
}


class _Instruction(ctypes.Structure):
    _fields_ = (
        ('code', ctypes.c_uint16),
        ('if_true', ctypes.c_uint8),
        ('if_false', ctypes.c_uint8),
        ('value', ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (('length', ctypes.c_uint16), ('filter', ctypes.POINTER(_Instruction)))


def forbid_network() -> None:
    """Refuse every new socket to this process, its later threads and children.

    Call it while there is only one thread: other running threads are not restricted.

    Raises:
        ConfigurationError: this machine cannot do it.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise ConfigurationError(
            f'a library cannot be kept from the network on {platform.machine()}; '
            f'it can on {", ".join(_MACHINES)}'
        )
    program = _refuse(machine)
    listing = (_Instruction * len(program))(*program)
    header = _Program(len(program), listing)
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and (
        libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(header), 0, 0) == 0
    )
    if not done:
        raise ConfigurationError(
            'this system does not let a process give up the network (seccomp): '
            f'{os.strerror(ctypes.get_errno())}'
        )


def _refuse(machine: _Machine) -> list[_Instruction]:
    """Return the filter; a jump's operand is the number of instructions it skips."""
    return [
        _Instruction(_LOAD, 0, 0, _ARCHITECTURE),
        _Instruction(_JUMP_EQUAL, 0, 4, machine.architecture),
        _Instruction(_LOAD, 0, 0, _NUMBER),
        _Instruction(_JUMP_AT_LEAST, 2, 0, _SECOND_SET),
        _Instruction(_JUMP_EQUAL, 1, 0, machine.socket),
        _Instruction(_JUMP_EQUAL, 0, 1, machine.io_uring_setup),
        _Instruction(_RETURN, 0, 0, _ERRNO | errno.EACCES),
        _Instruction(_RETURN, 0, 0, _ALLOW),
    ]
