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

"""Writes folders, such as bags and checkpoints, that appear only when they are complete.

Only a folder of the same kind is replaced. Anything else in its place (a link, a device, a file,
another folder) is refused and left untouched. Until it is complete, a folder has an unpredictable
name beside its target.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
import fcntl
from fnmatch import fnmatch
import os
from pathlib import Path
import re
import secrets
import shutil
import stat
from typing import NamedTuple

from leconvmn_ros.core.errors import OutputError
from leconvmn_ros.core.files import kind_of, scratch_prefix, TOKEN_BYTES, unwritable

# Name of a folder that is being replaced, inside the hidden folder.
_REPLACED = 'replaced'


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
            return f'is not a {self.name} but {kind_of(status)}'
        entries = list(folder.iterdir())
        foreign = sorted(
            entry.name
            for entry in entries
            if not any(fnmatch(entry.name, pattern) for pattern in self.patterns)
            or not stat.S_ISREG(entry.lstat().st_mode)
        )
        if foreign:
            return f'is not a {self.name}: it holds {", ".join(foreign[:3])}'
        if self.landmark not in {entry.name for entry in entries}:
            return f'is not a {self.name}: it has no {self.landmark}'
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
            token = secrets.token_hex(TOKEN_BYTES)
            scratch = self.target.with_name(f'{scratch_prefix(self.target.name)}{token}.partial')
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
        prefix = re.escape(scratch_prefix(self.target.name))
        pattern = re.compile(rf'{prefix}[0-9a-f]{{{2 * TOKEN_BYTES}}}\.partial')
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
        return unwritable(self.target, error)


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
        raise unwritable(folder.target, error) from error
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
