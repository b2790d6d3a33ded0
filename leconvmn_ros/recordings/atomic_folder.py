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

"""A folder that appears under its name only when it is complete."""

import fcntl
import os
from pathlib import Path
import shutil

from leconvmn_ros.errors import RecordingError


class PartialFolder:
    """Makes a bag folder in a hidden folder beside its target and moves it there at the end.

    Attributes:
        target: where the folder shall appear.
        partial: hidden folder beside it that holds what is not complete.
    """

    def __init__(self, target: Path, *, overwrite: bool) -> None:
        """Name the folders; nothing is touched before `open`.

        Args:
            target: where the folder shall appear.
            overwrite: whether `commit` may replace a bag that is there.

        Raises:
            RecordingError: the target is the root folder.
        """
        # Absolute, because '.' and 'folder/..' have no name to derive the partial one from;
        # resolve() would follow a link to elsewhere.
        self.target = Path(os.path.abspath(target))  # noqa: PTH100
        if not self.target.name:
            raise RecordingError(f'{target} cannot be made: it is the root folder')
        self.partial = self.target.with_name(f'.{self.target.name}.partial')
        self._overwrite = overwrite
        self._replaced = self.partial / 'replaced'
        self._lock: int | None = None

    def open(self) -> Path:
        """Make the partial folder, without what a killed process may have left there.

        Returns:
            Path of the folder to make; it has the target's name, which bags repeat in their files.

        Raises:
            RecordingError: the target exists, another process is writing it, or the disk refuses.
        """
        try:
            self.partial.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.partial, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._recover()
        except OSError as error:
            self._unlock()
            if isinstance(error, BlockingIOError):
                raise RecordingError(
                    f'{self.target} is being written by another process'
                ) from error
            raise RecordingError(
                f'cannot write {self.target}: {error.strerror or error}'
            ) from error
        try:
            self._check_target()
        except RecordingError:
            self.discard()
            raise
        return self.partial / self.target.name

    def commit(self) -> None:
        """Move the complete folder to its target.

        Raises:
            OSError: the disk refuses; the target is as it was.
            RecordingError: something has appeared there that may not be replaced.
        """
        self._check_target()
        if self.target.exists():
            self.target.rename(self._replaced)
        try:
            (self.partial / self.target.name).rename(self.target)
        except OSError:
            if self._replaced.exists():
                self._replaced.rename(self.target)
            raise

    def discard(self) -> None:
        """Remove the partial folder; after `commit` there is nothing of value in it."""
        if self._lock is not None:
            shutil.rmtree(self.partial, ignore_errors=True)
        self._unlock()

    def _recover(self) -> None:
        """Clear the partial folder; a kill in the middle of `commit` left the old bag in it."""
        if self._replaced.exists() and not self.target.exists():
            self._replaced.rename(self.target)
        for entry in self.partial.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _check_target(self) -> None:
        if not os.path.lexists(self.target):
            return
        if not self._overwrite:
            raise RecordingError(f'{self.target} exists already and is not overwritten')
        if not (self.target / 'metadata.yaml').is_file():
            raise RecordingError(f'{self.target} exists and is no bag: only a bag is overwritten')

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
