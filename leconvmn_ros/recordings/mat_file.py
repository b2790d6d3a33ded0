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

"""Opens MATLAB files (.mat) of each version: 4, 5 to 7.2, and 7.3 (HDF5)."""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, Protocol
import warnings

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.files import open_input
from leconvmn_ros.recordings.bounded_reader import BoundedFile
from leconvmn_ros.recordings.hdf5_file import Hdf5File, is_hdf5
from leconvmn_ros.recordings.mat5_file import LARGEST_VARIABLE, Mat5File, NUMERIC
import numpy as np
from numpy.typing import NDArray


class Variable(Protocol):
    """A variable whose values have not been read yet."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions, as the file claims."""

    @property
    def kind(self) -> str:
        """MATLAB class, such as 'double'."""


class MatFile(Protocol):
    """A MATLAB file of any version."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def variables(self) -> Mapping[str, Variable]:
        """The variables, by name."""

    def load(self, name: str) -> NDArray[Any]:
        """Read a real numeric array.

        Raises:
            RecordingError: it is not numeric, too large, or damaged.
        """


def open_mat(path: str | Path) -> MatFile:
    """Read the list of the variables of a MATLAB file.

    Raises:
        RecordingError: it is missing, of another format, or damaged.
        ConfigurationError: it is of MATLAB 7.3, and h5py is not installed.
    """
    path = Path(path)
    try:
        with open_input(path) as file:
            beginning = file.read(128)
    except OSError as error:
        raise RecordingError(f'cannot read {path}: {error.strerror or error}') from error
    if beginning.startswith(b'MATLAB 7.3') or is_hdf5(beginning):
        return Hdf5File(path, transposed=True)
    if beginning[126:128] in (b'IM', b'MI'):
        return Mat5File(path)
    return Mat4File(path)


class Mat4Variable(NamedTuple):
    """A variable of a MATLAB 4 file.

    Attributes:
        shape: dimensions, as the file claims.
        kind: MATLAB class, such as 'double'.
    """

    shape: tuple[int, ...]
    kind: str


class Mat4File:
    """A MATLAB 4 file. The format has no signature: a file is one if scipy can read it.

    Attributes:
        path: the file.
        variables: the variables, by name.
    """

    def __init__(self, path: Path) -> None:
        """Read the list of variables.

        Raises:
            RecordingError: it is not a MATLAB 4 file, or is damaged.
        """
        from scipy.io import whosmat  # noqa: PLC0415 - slow to import, not needed for help

        self.path = path
        try:
            with BoundedFile(path) as file:
                found = whosmat(file)
        except Exception as error:  # scipy raises whatever error a damaged file runs into
            raise RecordingError(f'{path} is not a MATLAB file (.mat), or damaged') from error
        self.variables = {
            name: Mat4Variable(tuple(map(int, shape)), kind)
            for name, shape, kind in found
            if name.isidentifier()
        }
        if not self.variables:
            raise RecordingError(f'{path} is not a MATLAB file (.mat), or holds no variable')

    def load(self, name: str) -> NDArray[Any]:
        """Read a real numeric array; see `MatFile.load`."""
        from scipy.io import loadmat  # noqa: PLC0415 - slow to import, not needed for help

        variable = self.variables[name]
        size = 8 * prod(variable.shape)
        if variable.kind not in NUMERIC or not 0 <= size <= LARGEST_VARIABLE:
            raise RecordingError(
                f'{self.path}: variable {name} is a MATLAB {variable.kind} of shape '
                f'{variable.shape}; numbers of at most {LARGEST_VARIABLE} bytes are needed'
            )
        try:
            # A read is never longer than the file, so a larger claim allocates no memory.
            with BoundedFile(self.path) as file, warnings.catch_warnings():
                warnings.simplefilter('error')
                array = loadmat(file, variable_names=[name])[name]
        except Exception as error:
            raise RecordingError(f'{self.path} is damaged: variable {name}: {error}') from error
        if not isinstance(array, np.ndarray) or array.dtype.kind not in 'iufb':
            raise RecordingError(f'{self.path}: variable {name} does not hold real numbers')
        return array
