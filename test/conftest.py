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

"""What all tests share: a quiet machine, ROS 2 traffic that meets no other, real recordings."""

from collections.abc import Iterator
import os
from pathlib import Path
import random
import socket
from typing import Any, TYPE_CHECKING
import warnings

import pytest

if TYPE_CHECKING:
    from node_harness import Nodes, Peer

# Before anything imports rclpy (which looks once) or a library that starts threads.
os.environ['ROS_PYTHON_CHECK_FIELDS'] = '1'
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
for variable in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'):
    os.environ.setdefault(variable, '1')
# A parent that runs ROS nodes itself must not configure ours.
for variable in ('ROS_NAMESPACE', 'FASTRTPS_DEFAULT_PROFILES_FILE', 'ROS_LOCALHOST_ONLY'):
    os.environ.pop(variable, None)

# Files whose tests run in one process: these share a port, and a training that takes long.
TOGETHER = {'test/commands/test_wear.py'}
# More collide with the ephemeral ports of Linux; 0 is what everybody else uses.
DOMAINS = range(1, 102)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep together what TOGETHER names (`--dist loadgroup`).

    The mark of xdist 3.8 for that does nothing with pytest 9.2: it changes ids that nobody reads.
    """
    from xdist.scheduler import LoadGroupScheduling

    class Scheduling(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid)

    return Scheduling(config, log) if config.getvalue('dist') == 'loadgroup' else None


def scope_of(nodeid: str) -> str:
    """Return what a test is kept together with: itself, or its file."""
    file = nodeid.partition('::')[0]
    return file if file in TOGETHER else nodeid


@pytest.fixture(scope='module', autouse=True)
def ros_domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Reserve a ROS_DOMAIN_ID for one test module, also against other runs on this machine."""
    for domain in random.SystemRandom().sample(DOMAINS, len(DOMAINS)):
        # A name in the kernel, not a file: it is free again when this process ends, however.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reservation:
            try:
                reservation.bind(f'\0leconvmn_ros_domain_{domain}')
            except OSError:
                continue
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv('ROS_DOMAIN_ID', str(domain))
                patch.setenv('ROS_LOG_DIR', str(tmp_path_factory.mktemp('ros_log')))
                yield domain
            return
    pytest.fail('every ROS_DOMAIN_ID is taken by another test run')


@pytest.fixture(scope='session', autouse=True)
def swept_shared_memory() -> Iterator[None]:
    """Remove and report what killed nodes of this run left in shared memory: nobody frees it."""
    yield
    from node_harness import SHARED_FILES

    # The nodes of this run have all ended, and nobody else opened the files while these ran.
    left = [path for path in SHARED_FILES if _remove(path)]
    if left:
        warnings.warn(f'removed {len(left)} files that nodes left in shared memory', stacklevel=1)


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


@pytest.fixture(scope='session')
def ninapro() -> Path:
    """Folder of real Ninapro recordings."""
    place = os.environ.get('LECONVMN_NINAPRO')
    folder = Path(place) if place else Path(__file__).parents[2] / 'shared' / 'ninapro'
    if not folder.is_dir():
        pytest.skip(
            f'no Ninapro recordings: {folder} does not exist; LECONVMN_NINAPRO can name another'
        )
    return folder


# Imported in the fixtures, because most tests need neither torch nor rclpy.
@pytest.fixture(scope='session')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a small bag and a decoder trained on it, among other things; only to be read."""
    from cli_harness import make_trained_folder

    made = tmp_path_factory.mktemp('cli')
    make_trained_folder(made)
    return made


@pytest.fixture(scope='session')
def wide_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a bag that is long enough to find a lag in; only to be read."""
    from cli_harness import make_late_bag

    made = tmp_path_factory.mktemp('wide')
    make_late_bag(made)
    return made


@pytest.fixture(scope='module')
def module_peer(ros_domain: int) -> Iterator['Peer']:  # noqa: ARG001 - the domain comes first
    from node_harness import peer

    with peer() as made:
        yield made


@pytest.fixture
def ros(module_peer: 'Peer') -> Iterator['Peer']:
    """Topics and services of the test itself, forgotten after each test."""
    yield module_peer
    module_peer.forget()


@pytest.fixture
def start(tmp_path: Path) -> Iterator['Nodes']:
    """Starts node processes, which end with the test."""
    from node_harness import started_nodes

    with started_nodes(tmp_path) as nodes:
        yield nodes
