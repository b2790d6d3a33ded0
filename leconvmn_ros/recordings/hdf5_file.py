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

"""Reads arrays from HDF5 files, including MATLAB 7.3 files, with h5py (an optional extra).

Links and data outside the file are not followed, and shapes are checked before values are read.
"""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.files import check_input, open_input
from leconvmn_ros.recordings.mat5_file import LARGEST_VARIABLE
from leconvmn_ros.recordings.optional_library import import_optional
import numpy as np
from numpy.typing import NDArray

_MAGIC = b'\x89HDF\r\n\x1a\n'
_MOST_OBJECTS = 10_000
# Largest depth of nested groups.
_DEEPEST = 8


def is_hdf5(beginning: bytes) -> bool:
    """Whether the first 8 bytes are those of HDF5; MATLAB 7.3 puts 512 bytes before them."""
    return beginning.startswith(_MAGIC)


class Hdf5Variable(NamedTuple):
    """A dataset whose values have not been read yet.

    Attributes:
        shape: dimensions as in MATLAB, the reverse of HDF5's.
        kind: type of the values, such as 'float64'.
        place: its path in the file.
        fields: names of the fields of a compound type, empty for other types.
    """

    shape: tuple[int, ...]
    kind: str
    place: str
    fields: tuple[str, ...]


class Hdf5File:
    """An HDF5 file.

    A dataset in a group (such as a MATLAB struct) is also available under its own name, unless
    that name is ambiguous.

    Attributes:
        path: the file.
        variables: datasets by path ('group/name') and by name.
        attributes: text and number attributes of the groups, by group and name.
    """

    def __init__(self, path: Path, *, transposed: bool = False) -> None:
        """Read the list of datasets.

        Args:
            path: the file.
            transposed: whether to give dimensions in MATLAB's order, the reverse of HDF5's.

        Raises:
            RecordingError: it cannot be read, is damaged, or holds too many objects.
            ConfigurationError: h5py is not installed.
        """
        self.path = path
        self._transposed = transposed
        self._h5py: ModuleType = import_optional('h5py', 'hdf5', 'to read HDF5 and MATLAB 7.3')
        self.attributes: dict[str, Any] = {}
        found: dict[str, Hdf5Variable] = {}
        try:
            check_input(path)
        except OSError as error:
            raise RecordingError(f'cannot read {path}: {error.strerror or error}') from error
        try:
            with open_input(path) as file, self._h5py.File(file, 'r') as root:
                self._walk(root, '', found, depth=0)
        except RecordingError:
            raise
        except Exception as error:  # h5py raises whatever error a damaged file runs into
            raise RecordingError(f'{path} is damaged or not an HDF5 file: {error}') from error
        by_name = {place.rpartition('/')[2]: variable for place, variable in found.items()}
        self.variables: Mapping[str, Hdf5Variable] = by_name | found

    def _walk(self, group: Any, place: str, found: dict[str, Hdf5Variable], *, depth: int) -> None:
        for name, value in group.attrs.items():
            if isinstance(value, (str, bytes, int, float, np.integer, np.floating)):
                text = value.decode('utf-8', 'replace') if isinstance(value, bytes) else value
                self.attributes[f'{place}{name}'] = text
        for name in group:
            if len(found) > _MOST_OBJECTS or depth > _DEEPEST:
                raise RecordingError(f'{self.path} holds too many objects: no recording')
            link = group.get(name, getlink=True)
            if name.startswith('#') or not isinstance(link, self._h5py.HardLink):
                continue
            item = group[name]
            if isinstance(item, self._h5py.Group):
                self._walk(item, f'{place}{name}/', found, depth=depth + 1)
            elif isinstance(item, self._h5py.Dataset) and item.shape is not None:
                shape = tuple(map(int, item.shape))
                found[f'{place}{name}'] = Hdf5Variable(
                    shape[::-1] if self._transposed else shape,
                    str(item.dtype),
                    f'{place}{name}',
                    tuple(item.dtype.names or ()),
                )

    def load(self, name: str, field: str | None = None) -> NDArray[Any]:
        """Read a real numeric array.

        Args:
            name: a name in `variables`; the caller checks its shape before.
            field: one of its `fields`, for a compound type.

        Returns:
            The array: its claimed shape, followed by the shape of the field.

        Raises:
            RecordingError: it is not numeric, too large, not in the file itself, or damaged.
        """
        variable = self.variables[name]
        try:
            with open_input(self.path) as file, self._h5py.File(file, 'r') as root:
                dataset = root[variable.place]
                kind = dataset.dtype if field is None else dataset.dtype[field]
                self._check(dataset, kind, name)
                values = np.asarray(dataset[()] if field is None else dataset[field])
        except RecordingError:
            raise
        except Exception as error:
            raise RecordingError(f'{self.path} is damaged: {name} cannot be read: {error}') from (
                error
            )
        return values.T if self._transposed else values

    def _check(self, dataset: Any, kind: Any, name: str) -> None:
        if kind.base.kind not in 'iufb':
            raise RecordingError(f'{self.path}: {name} holds {kind}; numbers are needed')
        size = dataset.dtype.itemsize * prod(dataset.shape)
        if size > LARGEST_VARIABLE:
            raise RecordingError(
                f'{self.path}: {name} has {size} bytes; at most {LARGEST_VARIABLE} are read'
            )
        if dataset.is_virtual or dataset.external:
            raise RecordingError(f'{self.path}: {name} lies in another file, which is not read')
