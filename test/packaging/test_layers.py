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

"""Holds the architecture: which room of the package may import which."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / 'leconvmn_ros'

# A room may import itself, `core`, and the rooms named here. Each room stands below those that it
# may import, so there can be no circle.
MAY_IMPORT = {
    'core': set(),
    'emg': set(),
    'models': set(),
    'synthetic': {'emg'},
    'hands': set(),
    'engines': {'models'},
    'recordings': {'emg'},
    'importers': {'emg', 'recordings'},
    'dataset': {'emg'},
    'sources': {'emg', 'recordings', 'synthetic'},
    'wearing': {'dataset', 'emg', 'recordings', 'synthetic'},
    'view': {'emg', 'hands', 'wearing'},
    'decoding': {'dataset', 'emg', 'engines', 'models'},
    'evaluation': {'dataset', 'decoding', 'emg'},
    'training': {'dataset', 'decoding', 'emg', 'engines', 'evaluation', 'models'},
    'adaptation': {'dataset', 'decoding', 'emg', 'training'},
    'benchmark': {
        *('adaptation', 'dataset', 'decoding', 'emg', 'engines', 'evaluation', 'models'),
        *('recordings', 'training'),
    },
    'speed': {'dataset', 'decoding', 'emg', 'engines', 'models', 'training'},
    'nodes': {
        'adaptation',
        *('dataset', 'decoding', 'emg', 'engines', 'evaluation', 'hands', 'recordings', 'speed'),
        *('sources', 'synthetic', 'view', 'wearing'),
    },
    'commands': {
        'adaptation',
        *('benchmark', 'dataset', 'decoding', 'emg', 'engines', 'evaluation', 'hands', 'nodes'),
        *('importers', 'recordings', 'sources', 'speed', 'synthetic', 'training', 'view'),
        'wearing',
    },
}
# Modules at the top that start others by name; everything else there is imported by the rooms.
ENTRY_POINTS = {'cli', 'program'}
GENERATED = {'msg'}
# Still to be mended: each entry is a debt.
EXCEPTIONS: set[tuple[str, str]] = set()


def rooms() -> set[str]:
    return {p.name for p in PACKAGE.iterdir() if (p / '__init__.py').is_file()} - GENERATED


def imported(source: str) -> set[str]:
    """Return the modules of the package that some code imports, as `room` or `room.module`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {n.split('.', 1)[1] for n in names if n.startswith('leconvmn_ros.')}
    return found


def forbidden(room: str, source: str) -> set[str]:
    """Return what code in a room imports although the table does not allow it."""
    allowed = MAY_IMPORT[room] | {room, 'core'} | GENERATED
    return {name for name in imported(source) if (name.split('.')[0] in rooms() - allowed)}


def test_every_room_is_in_the_table_and_there_are_few():
    assert rooms() == set(MAY_IMPORT)
    assert len([*PACKAGE.glob('*.py'), *rooms()]) <= 30


def test_the_table_allows_no_circle():
    done: set[str] = set()
    for room, below in MAY_IMPORT.items():
        assert below <= done, f'{room} is listed before {below - done}'
        done.add(room)


@pytest.mark.parametrize('room', MAY_IMPORT)
def test_a_room_imports_only_what_its_line_allows(room):
    wrong = {
        (f'{path.relative_to(PACKAGE)}', name)
        for path in (PACKAGE / room).rglob('*.py')
        for name in forbidden(room, path.read_text())
    }
    assert wrong - EXCEPTIONS == set()


def test_the_top_of_the_package_imports_no_room():
    for path in PACKAGE.glob('*.py'):
        if path.stem not in ENTRY_POINTS:
            used = {name.split('.')[0] for name in imported(path.read_text())}
            assert not used & rooms(), path


def test_no_exception_is_out_of_date():
    for path, name in EXCEPTIONS:
        assert name in forbidden(path.split('/')[0], (PACKAGE / path).read_text())


def test_a_wrong_import_is_found():
    assert forbidden('emg', 'from leconvmn_ros.training.run import train\n') == {
        'training.run.train'
    }
    assert forbidden('decoding', 'def f():\n    import leconvmn_ros.nodes.decoder\n') == {
        'nodes.decoder'
    }


@pytest.mark.parametrize('room', ['emg', 'hands', 'importers', 'recordings', 'wearing'])
def test_torch_stays_out_of_what_a_driver_imports(room):
    for path in (PACKAGE / room).rglob('*.py'):
        assert 'torch' not in {
            name.split('.')[0]
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [node.module or '']
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else []
            )
        }, path


@pytest.mark.parametrize('room', sorted(set(MAY_IMPORT) - {'nodes'}))
def test_only_nodes_import_ros(room):
    for path in (PACKAGE / room).rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom | ast.Import):
                names = [getattr(node, 'module', None) or alias.name for alias in node.names]
                assert not any(
                    name.split('.')[0] in {'rclpy', 'ament_index_python'} for name in names
                ), path
