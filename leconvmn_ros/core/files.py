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

"""Opens input files and writes outputs without touching or waiting for anything else on the disk.

Inputs are regular files: opening a FIFO or a device may wait forever, and reading it may never
end. Outputs are regular files: anything else in their place (a link, a device, a FIFO, a folder)
is refused and left untouched. An output appears under its name only when it is complete; until
then it has an unpredictable name. For folders see `atomic_folder.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
import errno
import hashlib
from io import BufferedReader
import json
import os
from pathlib import Path
import secrets
import stat
from typing import Any, BinaryIO

from leconvmn_ros.core.errors import OutputError

_KINDS = (
    (stat.S_ISREG, 'a file'),
    (stat.S_ISDIR, 'a folder'),
    (stat.S_ISLNK, 'a link'),
    (stat.S_ISFIFO, 'a FIFO'),
    (stat.S_ISSOCK, 'a socket'),
    (stat.S_ISCHR, 'a device'),
    (stat.S_ISBLK, 'a device'),
)
# The kernel generates the content of these files as they are read, which may block or never end.
_KERNEL_FOLDERS = ('/proc', '/sys')
# A name has at most 255 bytes, and a character takes up to four of them.
_LONGEST_PREFIX = 50
# Random part of the hidden name.
TOKEN_BYTES = 8
_BLOCK = 2**20  # bytes


def open_input(path: str | Path) -> BufferedReader:
    """Open a regular file for reading, without waiting. A link is followed.

    Raises:
        OSError: it cannot be opened, or is not a regular file; `strerror` says why.
    """
    try:
        # Before it is opened, because opening alone changes some devices.
        _check_regular(os.stat(path), path)  # noqa: PTH116
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, str(error), str(path)) from error
    try:
        _check_regular(os.fstat(handle), path)
        return os.fdopen(handle, 'rb')
    except BaseException:
        os.close(handle)
        raise


def open_for_repair(path: str | Path) -> BinaryIO:
    """Open a regular file for reading and writing, without waiting. A link is not followed.

    Raises:
        OSError: it cannot be opened, or is not a regular file; `strerror` says why.
    """
    _check_regular(os.lstat(path), path)
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    handle = os.open(path, flags)
    try:
        _check_regular(os.fstat(handle), path)
        return os.fdopen(handle, 'r+b')
    except BaseException:
        os.close(handle)
        raise


def check_input(path: str | Path) -> None:
    """Check, for a library that opens files by name, that a path leads to a regular file.

    Raises:
        OSError: as `open_input`.
    """
    open_input(path).close()


def read_input(path: str | Path, most: int) -> bytes:
    """Return the content of a regular file of at most `most` bytes.

    Raises:
        OSError: it cannot be read, is not a regular file, or is larger; `strerror` says why.
    """
    with open_input(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(most + 1) if size <= most else b''
    if (size := max(size, len(content))) > most:
        reason = f'it is too large: it has {size} bytes, at most {most} are allowed'
        raise OSError(errno.EFBIG, reason, str(path))
    return content


def hash_file(path: str | Path) -> str:
    """Return the SHA-256 of a regular file, as `sha256sum` prints it.

    Raises:
        OSError: as `open_input`.
    """
    digest = hashlib.sha256()
    with open_input(path) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _check_regular(status: os.stat_result, path: str | Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        reason = f'it is {kind_of(status)}; a regular file is needed'
        raise OSError(errno.EINVAL, reason, str(path))
    for folder in map(Path, _KERNEL_FOLDERS):
        if folder.exists() and folder.stat().st_dev == status.st_dev:
            reason = f'it belongs to the kernel ({folder}); a file on a disk is needed'
            raise OSError(errno.EINVAL, reason, str(path))


def kind_of(status: os.stat_result) -> str:
    """Return the kind of a file in words: 'a link', 'a FIFO'."""
    return next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), 'a special file')


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: its name leads to the old content or to all of the new.

    Raises:
        OutputError: the place cannot be written, or holds something else than a regular file.
    """
    try:
        with _parent_of(path) as parent:
            _check_replaceable(path, parent)
            scratch = f'{scratch_prefix(path.name)}{secrets.token_hex(TOKEN_BYTES)}.partial'
            try:
                with create_file(scratch, parent) as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                # Moving replaces a link that appeared meanwhile; it does not follow it.
                os.replace(scratch, path.name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                _remove(scratch, parent)
                raise
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8; see `write_bytes` for what is raised."""
    write_bytes(path, text.encode())


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write a report; see `write_bytes` for what is raised."""
    write_text(path, json.dumps(report, indent=2, allow_nan=False) + '\n')


def check_output(path: Path) -> None:
    """Check, before any work is done, that `write_bytes` may write a file; nothing is created.

    Raises:
        OutputError: as `write_bytes`.
    """
    try:
        if not os.path.lexists(path.parent):
            return  # it will be made
        with _parent_of(path) as parent:
            _check_replaceable(path, parent)
            if not os.access('.', os.W_OK | os.X_OK, dir_fd=parent, effective_ids=True):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error


def create_log(path: Path) -> BinaryIO:
    """Open an empty file to be written incrementally; an existing file is replaced.

    Raises:
        OutputError: the place cannot be written, or holds something else than a regular file.
    """
    try:
        with _parent_of(path) as parent:
            _check_replaceable(path, parent)
            _remove(path.name, parent)
            return create_file(path.name, parent)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error


def create_file(name: str, parent: int) -> BinaryIO:
    """Create a file that was not there, with the permissions of any new file.

    Args:
        name: its name.
        parent: descriptor of the folder.

    Raises:
        OSError: it cannot be created.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(name, flags, 0o666, dir_fd=parent), 'wb')


@contextmanager
def _parent_of(path: Path) -> Iterator[int]:
    """Open the folder of a path, which is made if need be."""
    if path.name in ('', '..'):
        raise OSError(errno.EISDIR, 'it is a folder; the name of a file is needed')
    path.parent.mkdir(parents=True, exist_ok=True)
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield parent
    finally:
        os.close(parent)


def _check_replaceable(path: Path, parent: int) -> None:
    try:
        status = os.stat(path.name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        reason = f'it is {kind_of(status)}; only a regular file is replaced'
        raise OSError(errno.EEXIST, reason)


def _remove(name: str, parent: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=parent)


def scratch_prefix(name: str) -> str:
    """Return the first part of the hidden name of an incomplete output."""
    return f'.{name[:_LONGEST_PREFIX]}.'


def unwritable(path: Path, error: OSError | ValueError) -> OutputError:
    """Return the error for an output that cannot be written."""
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return OutputError(f'cannot write {path}: {reason}')
