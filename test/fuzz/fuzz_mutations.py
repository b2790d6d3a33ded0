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

"""Damages what is valid: bytes, text, and the trees that JSON holds."""

from collections.abc import Callable, Sequence
from copy import deepcopy
import re
import struct
from typing import Any

from numpy.random import Generator

# What lengths and counts get: at the edges of their types, and just beyond what fits in memory.
ODD_INTEGERS = (
    *(0, 1, 2, 3, 7, 8, 100, 127, 128, 255, 256, 1000, 32767, 32768, 65535, 65536),
    *(2**24, 2**28, 2**30, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**48, 2**63 - 1, 2**63, 2**64 - 1),
    *(-1, -2, -100, -(2**31), -(2**63)),
)
ODD_NUMBERS = (0.0, -0.0, 0.5, 1e-320, 1e-30, 1e-9, 1e9, 1e30, 1e308, -1.0, -1e308)
NOT_FINITE = (float('nan'), float('inf'), float('-inf'))
ODD_TEXTS = (
    *('', ' ', '\0', 'a\nb', '\u202e', '💪', 'a' * 300),
    *('..', '/', '../../etc', 'nan', '1e999', '-0'),
)
_TOKEN = re.compile(r'[A-Za-z_./]+|-?\d+(?:\.\d+)?')


def pick(random: Generator, values: Sequence[Any]) -> Any:
    """Return one of the values as it is; Generator.choice would make an array of them."""
    return values[int(random.integers(len(values)))]


def odd_number(random: Generator) -> float | int:
    """Return a number that a careless reader stumbles over, finite or not."""
    kind = int(random.integers(4))
    if kind == 0:
        return pick(random, ODD_INTEGERS)
    if kind == 1:
        return pick(random, ODD_NUMBERS + NOT_FINITE)
    if kind == 2:
        return int(random.integers(-5, 50))
    return float(random.standard_normal() * 10.0 ** random.integers(-12, 12))


def odd_value(random: Generator) -> Any:
    """Return a value of any JSON type."""
    kind = int(random.integers(6))
    if kind < 3:
        return odd_number(random)
    if kind == 3:
        return pick(random, ODD_TEXTS)
    return deepcopy(pick(random, (None, True, False, [], {}, [[]], [0], {'': 0}, ['a'] * 100)))


def damaged(random: Generator, data: bytes) -> bytes:
    """Return the bytes with one to four faults."""
    for _ in range(int(random.integers(1, 5))):
        if not data:
            return bytes(random.integers(0, 256, 8, dtype='uint8'))
        place = int(random.integers(len(data)))
        data = pick(random, _FAULTS)(random, data, place)
    return data


def _flip(random: Generator, data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << int(random.integers(8))]) + data[place + 1 :]


def _overwrite(random: Generator, data: bytes, place: int) -> bytes:
    noise = bytes(random.integers(0, 256, int(random.integers(1, 9)), dtype='uint8'))
    return data[:place] + noise + data[place + len(noise) :]


def _put_integer(random: Generator, data: bytes, place: int) -> bytes:
    size = pick(random, (1, 2, 4, 8))
    # Lengths mostly lie at multiples of their size.
    place -= place % size if random.integers(2) else 0
    value = int(pick(random, ODD_INTEGERS)) % 2 ** (8 * size)
    number = value.to_bytes(size, pick(random, ('little', 'little', 'big')))
    return data[:place] + number + data[place + size :]


def _put_float(random: Generator, data: bytes, place: int) -> bytes:
    place -= place % 8
    value = pick(random, ODD_NUMBERS + NOT_FINITE)
    return data[:place] + struct.pack('<d', value) + data[place + 8 :]


def _cut(_: Generator, data: bytes, place: int) -> bytes:
    return data[:place]


def _remove(random: Generator, data: bytes, place: int) -> bytes:
    return data[:place] + data[place + int(random.integers(1, 65)) :]


def _repeat(random: Generator, data: bytes, place: int) -> bytes:
    block = data[place : place + int(random.integers(1, 65))]
    return data[:place] + block * int(random.integers(2, 5)) + data[place + len(block) :]


def _move(random: Generator, data: bytes, place: int) -> bytes:
    block = data[place : place + int(random.integers(1, 65))]
    rest = data[:place] + data[place + len(block) :]
    other = int(random.integers(len(rest) + 1))
    return rest[:other] + block + rest[other:]


_FAULTS: tuple[Callable[[Generator, bytes, int], bytes], ...] = (
    *(_flip, _flip, _overwrite, _put_integer, _put_integer, _put_float),
    *(_cut, _remove, _repeat, _move),
)


def damaged_text(random: Generator, text: bytes) -> bytes:
    """Return text such as YAML or JSON with other words or numbers in it, or other bytes."""
    if random.integers(4) == 0:
        return damaged(random, text)
    words = text.decode()
    for _ in range(int(random.integers(1, 4))):
        tokens = list(_TOKEN.finditer(words))
        if not tokens:
            break
        token = pick(random, tokens)
        other = pick(random, (pick(random, tokens)[0], str(odd_value(random))))
        words = words[: token.start()] + other + words[token.end() :]
    return words.encode()


def damaged_tree(random: Generator, tree: Any) -> Any:
    """Return a copy of what JSON holds with one to three values changed, added or left out."""
    tree = deepcopy(tree)
    for _ in range(int(random.integers(1, 4))):
        places = list(_places(tree))
        if not places:
            break
        container, key = pick(random, places)
        match int(random.integers(6)):
            case 0:
                del container[key]
            case 1:
                other, other_key = pick(random, places)
                container[key] = deepcopy(other[other_key])
            case 2 if isinstance(container, list):
                container += [deepcopy(container[key])] * int(random.integers(1, 100))
            case 2:
                container[pick(random, ODD_TEXTS)] = container[key]
            case _:
                container[key] = odd_value(random)
    return tree


def _places(tree: Any) -> list[tuple[Any, Any]]:
    if isinstance(tree, dict):
        keys: list[Any] = list(tree)
    elif isinstance(tree, list):
        keys = list(range(len(tree)))
    else:
        return []
    below = [place for key in keys for place in _places(tree[key])]
    return [(tree, key) for key in keys] + below
