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
end. Outputs are regular files and folders of this package: anything else in their place (a link,
a device, a FIFO, another folder) is refused and left untouched. An output appears under its name
only when it is complete; until then it has an unpredictable name.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
import errno
import fcntl
from fnmatch import fnmatch
import hashlib
from io import BufferedReader
import json
import os
from pathlib import Path
import re
import secrets
import shutil
import stat
from typing import Any, BinaryIO, NamedTuple

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
_TOKEN_BYTES = 8
_BLOCK = 2**20  # bytes
# Name of a folder that is being replaced, inside the hidden folder.
_REPLACED = 'replaced'


def open_input(path: str | Path) -> BufferedReader:
    """Open a regular file for reading, without waiting. A link is followed.

    Raises:
        OSError: it cannot be opened, or is no regular file; `strerror` says why.
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
        OSError: it cannot be opened, or is no regular file; `strerror` says why.
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
        OSError: it cannot be read, is no regular file, or is larger; `strerror` says why.
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
        reason = f'it is {_kind(status)}; a regular file is needed'
        raise OSError(errno.EINVAL, reason, str(path))
    for folder in map(Path, _KERNEL_FOLDERS):
        if folder.exists() and folder.stat().st_dev == status.st_dev:
            reason = f'it belongs to the kernel ({folder}); a file on a disk is needed'
            raise OSError(errno.EINVAL, reason, str(path))


def _kind(status: os.stat_result) -> str:
    return next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), 'a special file')


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: its name leads to the old content or to all of the new.

    Raises:
        OutputError: the place cannot be written, or holds something else than a regular file.
    """
    try:
        with _parent_of(path) as parent:
            _check_replaceable(path, parent)
            scratch = f'{_scratch_prefix(path.name)}{secrets.token_hex(_TOKEN_BYTES)}.partial'
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
        raise _unwritable(path, error) from error


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
        raise _unwritable(path, error) from error


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
        raise _unwritable(path, error) from error


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
        reason = f'it is {_kind(status)}; only a regular file is replaced'
        raise OSError(errno.EEXIST, reason)


def _remove(name: str, parent: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=parent)


def _scratch_prefix(name: str) -> str:
    return f'.{name[:_LONGEST_PREFIX]}.'


def _unwritable(path: Path, error: OSError | ValueError) -> OutputError:
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return OutputError(f'cannot write {path}: {reason}')


class FolderKind(NamedTuple):
    """A kind of folder that this package writes, and may replace.

    Attributes:
        name: for messages: 'bag', 'checkpoint'.
        landmark: the file by which a folder of this kind is recognised.
        patterns: names of all the files that such a folder holds (`fnmatch`).
    """

    name: str
    landmark: str
    patterns: tuple[str, ...]

    def problem(self, folder: Path) -> str:
        """Return why a folder is not of this kind, empty if it is.

        Raises:
            OSError: it cannot be read.
        """
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode):
            return f'is no {self.name} but {_kind(status)}'
        entries = list(folder.iterdir())
        foreign = sorted(
            entry.name
            for entry in entries
            if not any(fnmatch(entry.name, pattern) for pattern in self.patterns)
            or not stat.S_ISREG(entry.lstat().st_mode)
        )
        if foreign:
            return f'is no {self.name}: it holds {", ".join(foreign[:3])}'
        if self.landmark not in {entry.name for entry in entries}:
            return f'is no {self.name}: it has no {self.landmark}'
        return ''


class AtomicFolder:
    """Makes a folder in a hidden folder beside its target and moves it there at the end.

    If a process is killed, the next one with the same target removes its hidden folder; a folder
    that was being replaced at that moment is put back.

    Attributes:
        target: where the folder will appear.
    """

    def __init__(self, target: Path, kind: FolderKind, *, overwrite: bool) -> None:
        """Name the folder; the disk is not touched before `begin`.

        Args:
            target: where the folder will appear.
            kind: the kind of folder to make.
            overwrite: whether `commit` may replace a folder of the same kind.

        Raises:
            OutputError: the target is the root folder.
        """
        # Absolute, because '.' and 'folder/..' have no name to derive the hidden one from;
        # resolve() would follow a link to elsewhere.
        self.target = Path(os.path.abspath(target))  # noqa: PTH100
        if not self.target.name:
            raise OutputError(f'cannot write {target}: it is the root folder')
        self._kind = kind
        self._overwrite = overwrite
        self._scratch: Path | None = None
        self._lock: int | None = None

    def begin(self) -> Path:
        """Make the hidden folder.

        Returns:
            Path of the folder to make; it has the name of the target, which bags repeat in their
            files.

        Raises:
            OutputError: the target exists and may not be replaced, another process is writing it,
                or the disk reports an error.
        """
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._clear_leftovers()
            self.check()
            token = secrets.token_hex(_TOKEN_BYTES)
            scratch = self.target.with_name(f'{_scratch_prefix(self.target.name)}{token}.partial')
            scratch.mkdir()
            self._scratch = scratch
            self._lock = _locked(scratch)
            if not os.fstat(self._lock).st_nlink:
                # Another process began at the same moment and removed our folder as a leftover.
                raise BlockingIOError
        except (OSError, ValueError) as error:
            self.discard()
            raise self._refused(error) from error
        return scratch / self.target.name

    def check(self) -> None:
        """Check that the target may be written.

        Raises:
            OutputError: something is there that may not be replaced.
        """
        try:
            if not _is_there(self.target):
                return
            if not self._overwrite:
                raise OutputError(f'{self.target} exists already and is not overwritten')
            if problem := self._kind.problem(self.target):
                raise OutputError(
                    f'{self.target} exists and {problem}; choose another place or remove it'
                )
        except (OSError, ValueError) as error:
            raise self._refused(error) from error

    def commit(self) -> None:
        """Move the complete folder to its target.

        Raises:
            OutputError: the disk reports an error, or something has appeared there that may not be
                replaced; the target is unchanged.
        """
        if self._scratch is None:
            raise ValueError('commit() comes after begin()')
        self.check()
        new, old = self._scratch / self.target.name, self._scratch / _REPLACED
        try:
            _flush(new)
            try:
                if _is_there(self.target):
                    self.target.rename(old)
                new.rename(self.target)
            except BaseException:  # Ctrl-C between the two as well
                if _is_there(old) and not _is_there(self.target):
                    old.rename(self.target)
                raise
        except OSError as error:
            raise self._refused(error) from error

    def discard(self) -> None:
        """Remove the hidden folder; after `commit` it holds nothing of value."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _clear_leftovers(self) -> None:
        """Remove the folders of killed processes, and put back what they were replacing.

        Raises:
            OutputError: another process is writing the same target.
        """
        prefix = re.escape(_scratch_prefix(self.target.name))
        pattern = re.compile(rf'{prefix}[0-9a-f]{{{2 * _TOKEN_BYTES}}}\.partial')
        for folder in list(self.target.parent.iterdir()):
            if not pattern.fullmatch(folder.name):
                continue
            with suppress(FileNotFoundError):  # its process has just finished
                if not self._is_leftover(folder):
                    continue
                lock = _locked(folder)
                try:
                    if _is_there(folder / _REPLACED) and not _is_there(self.target):
                        (folder / _REPLACED).rename(self.target)
                    shutil.rmtree(folder)  # does not follow links
                finally:
                    os.close(lock)

    def _is_leftover(self, folder: Path) -> bool:
        status = folder.lstat()
        return (
            stat.S_ISDIR(status.st_mode)
            and status.st_uid == os.geteuid()
            and {entry.name for entry in folder.iterdir()} <= {self.target.name, _REPLACED}
        )

    def _refused(self, error: OSError | ValueError) -> OutputError:
        if isinstance(error, BlockingIOError):
            return OutputError(f'{self.target} is being written by another process')
        return _unwritable(self.target, error)


@contextmanager
def complete_folder(target: Path, kind: FolderKind, *, overwrite: bool) -> Iterator[Path]:
    """Make a folder that appears when the context is left without an exception.

    Args:
        target: where it will appear.
        kind: the kind of folder to make.
        overwrite: whether it may replace a folder of the same kind.

    Yields:
        Path of the folder to make.

    Raises:
        OutputError: the target may not be replaced, or the disk fails; nothing is left behind.
    """
    folder = AtomicFolder(target, kind, overwrite=overwrite)
    try:
        yield folder.begin()
        folder.commit()
    except OSError as error:
        raise _unwritable(folder.target, error) from error
    finally:
        folder.discard()


def check_output_folder(target: Path, kind: FolderKind, *, overwrite: bool) -> None:
    """Check, before any work is done, that a folder may be made.

    Raises:
        OutputError: as `AtomicFolder.begin`.
    """
    folder = AtomicFolder(target, kind, overwrite=overwrite)
    folder.begin()
    folder.discard()


def _is_there(path: Path) -> bool:
    """Whether a path exists, even as a dangling link; unlike exists(), it reports a bad name."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _locked(folder: Path) -> int:
    """Open a folder and lock it against other processes.

    Raises:
        BlockingIOError: another process holds it.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _flush(folder: Path) -> None:
    """Flush the files of a folder to the disk, so that a power cut leaves all or none of them."""
    for entry in folder.iterdir():
        with entry.open('rb') as file:
            os.fsync(file.fileno())
