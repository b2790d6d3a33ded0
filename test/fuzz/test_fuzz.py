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

"""A share of the fuzzing of test/fuzz/fuzz.py, and whether its runner catches what it should."""

import ast
from pathlib import Path

from fuzz_runner import make_target, run, run_case, TARGETS
from leconvmn_ros.core.errors import LeconvmnError
import pytest

PACKAGE = Path(__file__).resolve().parents[2] / 'leconvmn_ros'
# Some seconds each.
CASES = {
    'intake': 1000,
    'decoder': 100,
    'bags': 60,
    'checkpoints': 100,
    'mat': 200,
    'profiles': 100,
    'calibrations': 300,
    'settings': 300,
    'training': 20,
}
# What runs code that comes with the data, or can.
FORBIDDEN_MODULES = {
    'pickle',
    'cPickle',
    'dill',
    'cloudpickle',
    'joblib',
    'marshal',
    'shelve',
    'yaml',
}
FORBIDDEN_NAMES = {'eval', 'exec', 'compile', '__import__'}
FORBIDDEN_ATTRIBUTES = {('torch', 'load'), ('torch', 'jit'), ('os', 'system'), ('yaml', 'load')}

FAULTY = """
import os, sys, time
from leconvmn_ros.core.errors import RecordingError

class Target:
    def __init__(self, folder):
        self.number = 0

    def __call__(self, random):
        self.number += 1
        if random.integers(3) == 0:
            raise RecordingError('no')
        self.fault()

class Fine(Target):
    def fault(self):
        pass

class Raising(Target):
    def fault(self):
        raise KeyError('left out')

class Crashing(Target):
    def fault(self):
        if self.number % 7 == 0:
            os.abort()

class Hanging(Target):
    def fault(self):
        if self.number % 8 == 0:
            time.sleep(1000)

class Spinning(Target):
    def fault(self):
        while self.number % 8 == 0:
            pass

class Flooding(Target):
    def fault(self):
        bytearray(2**30)

class Masking(Target):
    def fault(self):
        try:
            bytearray(2**30)
        except MemoryError as error:
            raise RecordingError('too large') from error
"""


@pytest.mark.parametrize('name', TARGETS)
def test_a_share_of_the_fuzzing_finds_nothing(tmp_path, name):
    target = make_target(name, tmp_path)
    refused = 0
    for case in range(CASES[name]):
        try:
            run_case(target, 0, case)
        except LeconvmnError:
            refused += 1
    assert refused < CASES[name]


def test_a_case_is_known_by_seed_and_number():
    drawn = []
    for seed, case in ((1, 2), (1, 2), (1, 3), (2, 2)):
        run_case(lambda random: drawn.append(random.integers(2**60)), seed, case)
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3


@pytest.mark.parametrize(
    ('kind', 'place'),
    [
        ('Fine', None),
        ('Raising', 'KeyError at faulty_targets.py'),
        ('Crashing', 'crash (SIGABRT)'),
        ('Hanging', 'hang'),
        ('Spinning', 'hang'),
        ('Flooding', 'MemoryError'),
        ('Masking', 'MemoryError'),
    ],
)
def test_the_runner_catches(tmp_path, monkeypatch, kind, place):
    (tmp_path / 'faulty_targets.py').write_text(FAULTY)
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path}:{PACKAGE.parent}')
    findings = run(f'faulty_targets:{kind}', cases=20, seed=0, time_limit=0.3)
    assert findings.cases == 20
    assert findings.refused > 0
    if place is None:
        assert not findings.places
        return
    (found,) = findings.places
    assert place in found
    assert findings.told[found][0][1], 'without a traceback'


def test_nothing_that_a_file_can_reach_runs_code():
    for path in PACKAGE.rglob('*.py'):
        if path.parent.name == 'msg':
            continue  # generated
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            assert not _runs_code(node), f'{path.name}:{node.lineno}'


@pytest.mark.parametrize(
    'code',
    [
        'import pickle',
        'from yaml import load',
        'eval(x)',
        'torch.load(x)',
        'np.load(f, allow_pickle=True)',
    ],
)
def test_what_runs_code_is_recognised(code):
    assert any(_runs_code(node) for node in ast.walk(ast.parse(code)))


def _runs_code(node):
    match node:
        case ast.Import(names=names):
            return any(name.name.split('.')[0] in FORBIDDEN_MODULES for name in names)
        case ast.ImportFrom(module=module):
            return (module or '').split('.')[0] in FORBIDDEN_MODULES
        case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_NAMES:
            return True
        case ast.Attribute(value=ast.Name(id=module), attr=name):
            return (module, name) in FORBIDDEN_ATTRIBUTES
        case ast.keyword(arg='allow_pickle' | 'shell', value=value):
            return not (isinstance(value, ast.Constant) and value.value is False)
    return False
