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

"""What is installed, on either route, against the source tree; the metadata against itself."""

from importlib import import_module
from importlib.resources import files
import os
from pathlib import Path
import re
import subprocess
import sys
from xml.etree import ElementTree as ET

from leconvmn_ros.core.program import BEYOND_ROSDEP
import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())
MANIFEST = ET.parse(ROOT / 'package.xml').getroot()  # noqa: S314
PROGRAMS = sorted(PYPROJECT['tool']['leconvmn_ros']['programs'])
MESSAGES = sorted(path.stem for path in (ROOT / 'msg').glob('*.msg'))
ROS_DISTRIBUTIONS = ('jazzy', 'kilted')

# How rosidl's Python classes spell the types of a .msg file.
PYTHON_SPELLING = {'float64': 'double', 'float32': 'float'}


def prefix() -> Path:
    """Return the folder that this package is installed into (venv, or colcon's install/...)."""
    places = os.environ.get('AMENT_PREFIX_PATH', sys.prefix).split(os.pathsep)
    for place in places:
        if Path(place, 'share', 'leconvmn_ros', 'package.xml').is_file():
            return Path(place)
    raise AssertionError(f'leconvmn_ros is installed in none of {places}')


def relative_files(folder: Path) -> set[Path]:
    return {
        path.relative_to(folder)
        for path in folder.rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group, included groups included."""
    return [
        requirement
        for entry in PYPROJECT['dependency-groups'][name]
        for requirement in ([entry] if isinstance(entry, str) else group(entry['include-group']))
    ]


def names(requirements: list[str]) -> set[str]:
    return {re.match(r'[\w.-]+', requirement)[0] for requirement in requirements}


@pytest.mark.parametrize('name', PROGRAMS)
def test_every_program_is_installed_for_ros2_run(name):
    program = prefix() / 'lib' / 'leconvmn_ros' / name
    assert program.is_file()
    assert os.access(program, os.X_OK)


@pytest.mark.parametrize('name', PROGRAMS)
def test_every_program_names_a_function_that_exists(name):
    module, function = PYPROJECT['tool']['leconvmn_ros']['programs'][name].split(':')
    assert function == 'main'
    assert callable(import_module(module).main)


def test_there_is_one_command_and_no_node_with_an_everyday_name_beside_it():
    assert list(PYPROJECT['project']['scripts']) == ['leconvmn_ros']
    commands = {path.name for path in (prefix() / 'bin').iterdir()}
    assert 'leconvmn_ros' in commands
    # Those of an earlier version may lie there until the environment is made again.
    mine = {
        name
        for name in commands & {*PROGRAMS} - {'leconvmn_ros'}
        if 'leconvmn_ros.core.program' in (prefix() / 'bin' / name).read_text(errors='replace')
    }
    assert mine == set()


def test_every_node_module_is_a_program():
    modules = {
        f'leconvmn_ros.nodes.{path.stem}:main'
        for path in (ROOT / 'leconvmn_ros' / 'nodes').glob('*.py')
        if '\ndef main(' in path.read_text()
    }
    assert modules == set(PYPROJECT['tool']['leconvmn_ros']['programs'].values()) - {
        'leconvmn_ros.cli:main'
    }


def test_the_libraries_to_install_beside_a_ros_package_are_those_of_pyproject():
    assert names(group('beyond-rosdep')) == {*BEYOND_ROSDEP}


HIDING = """
import sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in sys.argv[1:]:
            raise ModuleNotFoundError(f'hidden: {name}', name=name)

sys.meta_path.insert(0, Hide())
from leconvmn_ros.core.program import run
run('leconvmn_ros.nodes.replay')
"""


@pytest.mark.parametrize(
    ('module', 'remedy'),
    [
        ('rosbags', 'pip install backports.zstd lz4 mcap '),
        ('ruamel', 'ruamel.yaml safetensors torch\n'),
        ('rclpy', 'source a ROS 2 installation'),
        ('rosgraph_msgs', 'source a ROS 2 installation'),
        ('numpy', 'safetensors torch numpy\n'),
    ],
)
def test_a_missing_library_is_named_in_one_line_with_its_remedy(module, remedy, tmp_path):
    answer = subprocess.run(
        [sys.executable, '-c', HIDING, module],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert f'leconvmn_ros needs the Python module {module}' in answer.stderr
    assert remedy in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


@pytest.mark.parametrize('folder', ['lib/leconvmn_ros', 'bin'])
def test_command_line_answers_help_from_anywhere(folder, tmp_path):
    command = [prefix() / folder / 'leconvmn_ros', '--help']
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert 'usage' in answer.stdout.lower()


@pytest.mark.parametrize('name', MESSAGES)
def test_message_class_has_the_fields_of_its_definition(name):
    messages = pytest.importorskip('leconvmn_ros.msg')
    expected = {}
    for line in (ROOT / 'msg' / f'{name}.msg').read_text().splitlines():
        if line and not line.startswith('#'):
            kind, field = line.split()
            kind, array, _ = kind.partition('[]')
            kind = PYTHON_SPELLING.get(kind, kind)
            expected[field] = f'sequence<{kind}>' if array else kind
    assert getattr(messages, name).get_fields_and_field_types() == expected


@pytest.mark.parametrize('name', MESSAGES)
def test_definition_is_in_the_python_package_and_in_the_share_folder(name):
    text = (ROOT / 'msg' / f'{name}.msg').read_text()
    assert (files('leconvmn_ros') / 'msg' / f'{name}.msg').read_text() == text
    assert (prefix() / 'share' / 'leconvmn_ros' / 'msg' / f'{name}.msg').read_text() == text


@pytest.mark.parametrize('folder', ['launch', 'config'])
def test_share_folder_has_the_files_of_the_tree(folder):
    expected = relative_files(ROOT / folder)
    installed = prefix() / 'share' / 'leconvmn_ros' / folder
    assert expected
    assert relative_files(installed) == expected
    for path in expected:
        assert (installed / path).read_bytes() == (ROOT / folder / path).read_bytes()


def test_every_module_is_installed():
    installed = relative_files(Path(str(files('leconvmn_ros'))))
    wanted = {path for path in relative_files(ROOT / 'leconvmn_ros') if path.parts[0] != 'msg'}
    assert {path for path in wanted if path.suffix in {'.py', '.typed', '.yaml'}} <= installed


def test_versions_agree():
    headings = re.findall(
        r'^(\d+\.\d+\.\d+) \(', (ROOT / 'CHANGELOG.rst').read_text(), re.MULTILINE
    )
    assert MANIFEST.findtext('version') == PYPROJECT['project']['version'] == headings[0]


def test_package_xml_names_every_library_that_rosdep_can_bring():
    libraries = names(PYPROJECT['project']['dependencies'])
    keys = {key.text for key in MANIFEST.iter('exec_depend')}
    from_rosdep = {key.removeprefix('python3-') for key in keys if key.startswith('python3-')}
    assert from_rosdep == libraries - names(group('beyond-rosdep'))


def test_every_library_is_pinned():
    assert names(PYPROJECT['project']['dependencies']) == names(group('libraries'))
    for name in PYPROJECT['dependency-groups']:
        assert [pin for pin in group(name) if '==' not in pin] == []


@pytest.mark.parametrize('distribution', ROS_DISTRIBUTIONS)
def test_every_ros_package_is_pinned(distribution):
    not_on_pypi = {'launch', 'launch_ros', 'robot_state_publisher', 'rviz2', 'tf2_ros'}
    with_others = {'rosidl_default_runtime'}
    needed = {
        dependency.text
        for tag in ('depend', 'exec_depend')
        for dependency in MANIFEST.iter(tag)
        if not dependency.text.startswith('python3-')
    }
    wheels = {f'ros-{name.replace("_", "-")}' for name in needed - not_on_pypi - with_others}
    assert wheels <= names(group(distribution))


def sources() -> list[Path]:
    """Return the files of the tree that carry the licence, without what an installation made."""
    suffixes = {'.py', '.msg', '.yaml'}
    inside = [
        path.relative_to(ROOT)
        for folder in ('config', 'launch', 'leconvmn_ros', 'msg', 'test')
        for path in (ROOT / folder).rglob('*')
        if path.suffix in suffixes and path.parent != ROOT / 'leconvmn_ros' / 'msg'
    ]
    top = ['CMakeLists.txt', 'Makefile', 'package.xml', 'pyproject.toml', 'setup.py']
    ci = [path.relative_to(ROOT) for path in (ROOT / '.ci').iterdir()]
    return sorted(path for path in [*inside, *map(Path, top), *ci] if (ROOT / path).stat().st_size)


@pytest.mark.parametrize('source', sources(), ids=str)
def test_source_names_its_licence(source):
    head = (ROOT / source).read_text().splitlines()[:8]
    copyright_lines = [line for line in head if 'Copyright 2026 The leconvmn_ros authors' in line]
    assert len(copyright_lines) == 1
    assert any('Apache-2.0' in line or 'Apache License, Version 2.0' in line for line in head)


IMPORT_WITHOUT_ROS = """
import importlib, pkgutil, sys

class NoRos:
    def find_spec(self, name, path=None, target=None):
        top = name.partition('.')[0]
        ros = {'ament_index_python', 'builtin_interfaces', 'launch', 'launch_ros', 'rclpy'}
        if top in ros or top.endswith(('_msgs', '_srvs')) or name.startswith('leconvmn_ros.msg'):
            raise ModuleNotFoundError(f'ROS is hidden: {name}', name=name)

sys.meta_path.insert(0, NoRos())
import leconvmn_ros

skipped = ('leconvmn_ros.msg', 'leconvmn_ros.nodes', 'leconvmn_ros.leconvmn_ros_s__')
count = 0
modules = pkgutil.walk_packages(leconvmn_ros.__path__, 'leconvmn_ros.', onerror=lambda _: None)
for module in modules:
    if not module.name.startswith(skipped):
        importlib.import_module(module.name)
        count += 1
print(count)
"""


def test_core_imports_without_ros(tmp_path):
    answer = subprocess.run(
        [sys.executable, '-c', IMPORT_WITHOUT_ROS],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) > 10
