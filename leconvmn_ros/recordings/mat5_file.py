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

"""Reads arrays from MATLAB 5 files (.mat) without trusting the sizes that a file claims.

scipy parses the variables, but must not see an untrusted file directly. On two of the small
hostile files in the tests, scipy 1.17 crashes with a segmentation fault (it uses an unknown data
type as an index). On one of 290 kB it allocates 0.5 GB, because it inflates a variable completely
before it looks at the shape. Therefore this module first inflates each variable only up to the
size that its shape explains, and checks its parts.
See MathWorks, MAT-File Format, chapter 'Level 5 MAT-Files'.
"""

from io import BytesIO
from math import prod
from pathlib import Path
import struct
from typing import Any, BinaryIO, NamedTuple, TYPE_CHECKING
import warnings
import zlib

from leconvmn_ros.core.errors import RecordingError
from leconvmn_ros.core.files import open_input
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADER_BYTES = 128
_TAG_BYTES = 8
_MATRIX = 14
_COMPRESSED = 15
_FLAGS_BYTES = 16
_COMPLEX = 0x0800
# double and single, then the integers from int8 to uint64; a logical is a uint8 with a flag.
_NUMERIC_CLASSES = range(6, 16)
# int8 to uint32, single, double, int64, uint64.
_NUMBER_TYPES = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13})
# Covers tag, flags, dimensions and name of a variable; its values come after.
_PEEK_BYTES = 1024
_MOST_VARIABLES = 1000
_LONGEST_NAME = 64  # bytes, with the NUL at its end
# The largest variable of Ninapro, the glove of DB2 in doubles, takes 0.4 GB.
LARGEST_VARIABLE = 2**31
NUMERIC = frozenset(
    {
        'int8',
        'uint8',
        'int16',
        'uint16',
        'int32',
        'uint32',
        'int64',
        'uint64',
        'single',
        'double',
        'logical',
    }
)


class MatVariable(NamedTuple):
    """A variable of a .mat file whose values have not been read yet.

    Attributes:
        shape: dimensions, as the file claims.
        kind: MATLAB class, such as 'double'.
        start: position in the file (bytes).
        size: length in the file (bytes).
        compressed: whether it must be inflated.
        element: the whole variable, if it is a field of a struct.
    """

    shape: tuple[int, ...]
    kind: str
    start: int
    size: int
    compressed: bool
    element: bytes = b''


class Mat5File:
    """A MATLAB 5 file.

    The fields of a single struct count as variables, unless a variable has the same name.

    Attributes:
        path: the file.
        variables: the variables, by name.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the list of variables.

        Args:
            path: the file.

        Raises:
            RecordingError: it is missing, of another format, or damaged.
        """
        self.path = Path(path)
        self.variables: Mapping[str, MatVariable]
        try:
            with open_input(self.path) as file:
                self._header, self._order = self._read_header(file)
                variables = self._scan(file)
        except OSError as error:
            raise RecordingError(f'cannot read {self.path}: {error.strerror or error}') from error
        for name, variable in list(variables.items()):
            if variable.kind == 'struct' and prod(variable.shape) == 1:
                variables = self._fields(variable, name) | variables
        self.variables = variables

    def load(self, name: str) -> NDArray[Any]:
        """Read a real numeric array.

        Args:
            name: a name in `variables`; the caller checks its shape before.

        Returns:
            The array, of the claimed shape.

        Raises:
            RecordingError: it is not numeric, or damaged.
        """
        from scipy.io import loadmat  # noqa: PLC0415 - slow to import, not needed for help

        variable = self.variables[name]
        if variable.kind not in NUMERIC:
            raise RecordingError(
                f'{self.path}: variable {name} is a MATLAB {variable.kind}; numbers are needed'
            )
        size = 8 * prod(variable.shape)
        if not 0 <= size <= LARGEST_VARIABLE:
            raise RecordingError(
                f'{self.path}: variable {name} has shape {variable.shape};'
                f' at most {LARGEST_VARIABLE} bytes are read'
            )
        content = variable.element or self._read(variable, _PEEK_BYTES + size, name)
        self._check_parts(content, name)
        try:
            with warnings.catch_warnings():
                # scipy only warns of values that it cannot read, and returns text in their place.
                warnings.simplefilter('error')
                array = loadmat(BytesIO(self._header + content), variable_names=[name])[name]
        except Exception as error:  # scipy raises whatever error a damaged file runs into
            raise self._damaged(f'variable {name} cannot be read: {error}') from error
        if (
            not isinstance(array, np.ndarray)
            or array.shape != variable.shape
            or array.dtype.kind not in 'iufb'
        ):
            raise self._damaged(f'variable {name} holds no real numbers of shape {variable.shape}')
        return array

    def _read(self, variable: MatVariable, limit: int, name: str) -> bytes:
        """Return the bytes of a variable, inflated."""
        try:
            with open_input(self.path) as file:
                file.seek(variable.start)
                content = file.read(variable.size)
        except OSError as error:
            raise RecordingError(f'cannot read {self.path}: {error.strerror or error}') from error
        if variable.compressed:
            content = self._inflate(content[_TAG_BYTES:], limit, name)
        return content

    def _read_header(self, file: BinaryIO) -> tuple[bytes, str]:
        header = file.read(_HEADER_BYTES)
        order = {b'IM': '<', b'MI': '>'}.get(header[126:128])
        if order is None:
            raise RecordingError(f'{self.path} is not a MATLAB 5 file (.mat)')
        return header, order

    def _scan(self, file: BinaryIO) -> dict[str, MatVariable]:
        end = file.seek(0, 2)
        start = _HEADER_BYTES
        variables: dict[str, MatVariable] = {}
        for _ in range(_MOST_VARIABLES + 1):  # one more to see the end
            if start == end:
                return variables
            file.seek(start)
            beginning = file.read(_PEEK_BYTES)
            if len(beginning) < _TAG_BYTES:
                raise self._damaged('it ends inside a variable')
            kind, length = struct.unpack(self._order + 'II', beginning[:_TAG_BYTES])
            size = _TAG_BYTES + length
            if start + size > end:
                raise self._damaged('it ends inside a variable')
            if kind not in (_MATRIX, _COMPRESSED):
                raise self._damaged(f'element type {kind} where a variable is expected')
            name, shape, matlab_class = self._describe(
                beginning[:size], compressed=kind == _COMPRESSED
            )
            variables[name] = MatVariable(shape, matlab_class, start, size, kind == _COMPRESSED)
            start += size
        raise RecordingError(
            f'{self.path} holds more than {_MOST_VARIABLES} variables: no recording'
        )

    def _describe(self, beginning: bytes, *, compressed: bool) -> tuple[str, tuple[int, ...], str]:
        from scipy.io import whosmat  # noqa: PLC0415 - slow to import, not needed for help

        try:
            if compressed:
                beginning = zlib.decompressobj().decompress(beginning[_TAG_BYTES:], _PEEK_BYTES)
            self._check_beginning(beginning)
            ((name, shape, kind),) = whosmat(BytesIO(self._header + beginning))
        except Exception as error:  # scipy raises whatever error a damaged file runs into
            raise self._damaged(f'a variable cannot be read: {error}') from error
        # Names appear in error messages.
        if not str(name).isidentifier():
            raise self._damaged(f'a variable is called {name!r}')
        return str(name), tuple(int(length) for length in shape), str(kind)

    def _inflate(self, compressed: bytes, limit: int, name: str) -> bytes:
        inflater = zlib.decompressobj()
        try:
            content = inflater.decompress(compressed, limit)
        except zlib.error as error:
            raise self._damaged(f'variable {name} cannot be inflated') from error
        if not inflater.eof:
            raise self._damaged(f'variable {name} does not end where its shape says')
        return content

    def _fields(self, struct_variable: MatVariable, name: str) -> dict[str, MatVariable]:
        """Return the fields of a struct that are arrays."""
        content = self._read(struct_variable, LARGEST_VARIABLE, name)
        start = _TAG_BYTES + _FLAGS_BYTES
        try:
            for _ in ('dimensions', 'name'):
                start = self._end_of_part(content, start)
                start += -start % 8
            # A part of 4 bytes holds the common length of the names, the next part all names.
            width = struct.unpack_from(self._order + 'i', content, start + 4)[0]
            start += _TAG_BYTES
            end = self._end_of_part(content, start)
            if not 0 < width <= _LONGEST_NAME or end - start > _MOST_VARIABLES * width:
                raise self._damaged(f'the fields of {name} have names of {width} bytes')
            names = [
                content[place : place + width].split(b'\0', 1)[0]
                for place in range(start + _TAG_BYTES, end, width)
            ]
            start = end + -end % 8
            found = {}
            for field in names:
                kind, length = struct.unpack_from(self._order + 'II', content, start)
                element = content[start : start + _TAG_BYTES + length]
                start += _TAG_BYTES + length
                if kind != _MATRIX:
                    raise self._damaged(f'element type {kind} where a field of {name} is expected')
                if length > _TAG_BYTES + _FLAGS_BYTES:
                    label, shape, matlab_class, element = self._named(element, field)
                    found[label] = MatVariable(shape, matlab_class, 0, 0, False, element)
        except struct.error as error:
            raise self._damaged(f'struct {name} ends too early') from error
        return found

    def _named(self, element: bytes, name: bytes) -> tuple[str, tuple[int, ...], str, bytes]:
        """Describe a field, which has no name of its own, and name it."""
        start = self._end_of_part(element, _TAG_BYTES + _FLAGS_BYTES)
        start += -start % 8
        end = self._end_of_part(element, start)
        end += -end % 8
        label = struct.pack(self._order + 'II', 1, len(name)) + name + bytes(-len(name) % 8)
        body = element[_TAG_BYTES:start] + label + element[end:]
        named = struct.pack(self._order + 'II', _MATRIX, len(body)) + body
        return *self._describe(named[:_PEEK_BYTES], compressed=False), named

    def _check_beginning(self, matrix: bytes) -> None:
        """Refuse lengths of dimensions or name for which scipy would allocate too much memory."""
        start = _TAG_BYTES + _FLAGS_BYTES
        for part in ('dimensions', 'name'):
            start = self._end_of_part(matrix, start)
            if start > len(matrix):
                raise self._damaged(f'the {part} of a variable end beyond {len(matrix)} bytes')
            start += -start % 8

    def _end_of_part(self, matrix: bytes, start: int) -> int:
        kind, length = struct.unpack_from(self._order + 'II', matrix, start)
        # A part of up to 4 bytes has its length in the upper half of the type, then its values.
        return int(start + (_TAG_BYTES if kind >> 16 else _TAG_BYTES + length))

    def _check_parts(self, matrix: bytes, name: str) -> None:
        """Check what scipy trusts: it allocates any length and crashes on unknown types."""
        word = self._order + 'II'
        if len(matrix) < _TAG_BYTES + _FLAGS_BYTES:
            raise self._damaged(f'variable {name} ends too early')
        flags, _ = struct.unpack_from(word, matrix, _TAG_BYTES + _TAG_BYTES)
        if flags & 0xFF not in _NUMERIC_CLASSES or flags & _COMPLEX:
            raise RecordingError(f'{self.path}: variable {name} does not hold real numbers')
        start = _TAG_BYTES
        while start + _TAG_BYTES <= len(matrix):
            kind, _ = struct.unpack_from(word, matrix, start)
            if kind & 0xFFFF not in _NUMBER_TYPES:
                raise self._damaged(f'variable {name} has a part of type {kind & 0xFFFF}')
            start = self._end_of_part(matrix, start)
            if start > len(matrix):
                raise self._damaged(f'variable {name} ends too early')
            start += -start % 8

    def _damaged(self, reason: str) -> RecordingError:
        return RecordingError(f'{self.path} is damaged or not a MATLAB 5 file: {reason}')
