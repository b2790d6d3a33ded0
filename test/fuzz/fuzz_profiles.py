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

"""Fuzz targets: hand profiles and calibration files from strangers."""

from collections.abc import Sequence
from contextlib import suppress
from io import StringIO
import json
from pathlib import Path
from typing import Any

from fuzz_mutations import damaged, damaged_text, damaged_tree, odd_number, odd_value, pick
from leconvmn_ros.core.errors import MalformedMessageError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.yaml_file import read_yaml
from leconvmn_ros.hands.calibration import load_calibration, UNCALIBRATED
from leconvmn_ros.hands.profile import HandProfile, load_profile, SHIPPED_PROFILES
from leconvmn_ros.hands.retargeting import Retargeter
import numpy as np
from numpy.random import Generator
from ruamel.yaml import YAML

# Values that only YAML has, or has otherwise than JSON.
YAML_VALUES = (
    *('.nan', '-.inf', '1e999', '0x' + 'f' * 5000, '0b' + '1' * 20000, '0o17', '9' * 5000, '1_0'),
    *(
        '190:20:30',
        '2001-02-31',
        '2001-12-14t21:59:43.10-05:00',
        '~',
        '!!binary aGE=',
        '!!set {a}',
    ),
    *('!!python/object/apply:os.system [id]', '!!float nonsense', '!!int 0x', '&a [*a]', '*a'),
    *('"\\0\\x85\\u2028"', '"\\ud800"', "'" + 'x' * 20000 + "'", '? [a]', '{[a]: 1}', '>-\n  a'),
    *('[' * 15 + ']' * 15, '[' * 500, '{a: ' * 400, '{1: a, 1: b}', '{<<: [{a: 1}, {a: 2}]}'),
)
# What comes before or after a document.
AROUND = (
    '\ufeff',
    '%YAML 1.1\n---\n',
    '%YAML 9.9\n',
    '%TAG ! tag:x,2000:\n---\n',
    '\n---\n',
    '...\n',
)
SPEED_ROOM = 1e-9  # rad: what rounding may add to a step
LENGTH = 12  # steps that a hand is driven


def _nested(kind: str, levels: int = 20) -> str:
    """Return lines of which each stands for nine of the one before."""
    first, each = {'list': ('[x]', '[%s]'), 'merge': ('{x: 1}', '{<<: [%s]}')}[kind]
    lines = [f'a0: &a0 {first}']
    lines += [f'a{n}: &a{n} ' + each % ', '.join([f'*a{n - 1}'] * 9) for n in range(1, levels + 1)]
    return '\n'.join(lines) + '\n'


class ProfileTarget:
    """Profiles with odd values, hostile YAML or damage; what is accepted is driven."""

    def __init__(self, folder: Path) -> None:
        """Take the shipped ones as seeds."""
        files = sorted(SHIPPED_PROFILES.glob('*.yaml'))
        self._texts = [file.read_bytes() for file in files]
        self._trees = [read_yaml(file) for file in files]
        self._path = folder / 'hand.yaml'

    def __call__(self, random: Generator) -> None:
        match int(random.integers(4)):
            case 0:
                content = damaged_text(random, pick(random, self._texts))
            case 1:
                content = _hostile(random, pick(random, self._texts).decode()).encode()
            case _:
                content = _as_yaml(damaged_tree(random, pick(random, self._trees)))
        self._path.write_bytes(content)
        drive(random, load_profile(str(self._path)))


class CalibrationTarget:
    """Calibrations with odd values or damage; what is accepted drives a hand."""

    def __init__(self, folder: Path) -> None:
        """Take the usual ranges as a seed."""
        self._tree = json.loads(UNCALIBRATED.model_dump_json())
        self._path = folder / 'calibration.json'
        self._profile = load_profile('generic')

    def __call__(self, random: Generator) -> None:
        content = json.dumps(damaged_tree(random, self._tree)).encode()
        match int(random.integers(6)):
            case 0:
                content = damaged(random, content)
            case 1 | 2:
                content = damaged_text(random, content)
            case 3:
                odd = pick(
                    random, ('[' * 30000, '9' * 5000, '1e999', '"\\ud800"', 'NaN', '1' * 60000)
                )
                content = content.replace(b'0.0', odd.encode(), 1)
        self._path.write_bytes(content)
        drive(random, self._profile, load_calibration(self._path))


def drive(random: Generator, profile: HandProfile, calibration: Any = None) -> None:
    """Drive a hand by sane and odd angles: no command leaves the limits or the speed."""
    retargeter, now, before = Retargeter(profile, calibration, blind=True), 100.0, None
    if random.integers(2):
        state = {joint.name: float(odd_number(random)) for joint in profile.joints}
        with suppress(MalformedMessageError):
            retargeter.observe(state, now)
    for _ in range(LENGTH):
        _listen(random, retargeter, now)
        now += profile.command.period * int(random.integers(1, 3))
        command = retargeter.step(now)
        if command is None:
            before = None
            continue
        assert np.isfinite(command.values).all()
        assert len(command.values) == len(profile.joints)
        for number, joint in enumerate(profile.joints):
            position = command.positions[number]
            if before is not None:
                reach = profile.speed_of(joint) * 2 * profile.command.period
                assert abs(position - before[number]) <= reach + SPEED_ROOM, joint.name
            else:
                assert joint.limits[0] <= position <= joint.limits[1], joint.name
        before = command.positions


def _listen(random: Generator, retargeter: Retargeter, now: float) -> None:
    angles = {name: float(random.uniform(-0.5, 2.0)) for name in JOINT_NAMES}
    if random.integers(5) == 0:
        angles[pick(random, JOINT_NAMES)] = float(odd_number(random))
    if random.integers(5) == 0:
        del angles[pick(random, JOINT_NAMES)]
    with suppress(MalformedMessageError):
        retargeter.listen(angles, now)


def _hostile(random: Generator, text: str) -> str:
    """Put something into the text that YAML allows, or nearly."""
    match int(random.integers(6)):
        case 0:
            return _nested(pick(random, ('list', 'merge'))) + text
        case 1:
            return pick(random, AROUND) + text
        case 2:
            return text + pick(random, AROUND) + pick(random, (text, 'a: 1', ''))
        case 3:
            lines = text.splitlines(keepends=True)
            at = int(random.integers(len(lines)))
            return ''.join([*lines[: at + 1], *lines[at:]])  # a key that comes twice
        case _:
            words = _values_of(text)
            at, end = pick(random, words)
            return text[:at] + pick(random, (*YAML_VALUES, str(odd_value(random)))) + text[end:]


def _values_of(text: str) -> Sequence[tuple[int, int]]:
    """Return where values of one word after a colon are."""
    places = []
    at = 0
    for line in text.splitlines(keepends=True):
        key, colon, value = line.partition(': ')
        if colon and not key.lstrip().startswith('#'):
            start = at + len(key) + len(colon)
            places.append((start, start + len(value.rstrip('\n'))))
        at += len(line)
    return places


def _as_yaml(tree: Any) -> bytes:
    stream = StringIO()
    YAML(typ='safe', pure=True).dump(tree, stream)
    return stream.getvalue().encode(errors='surrogatepass')
