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

"""Runs the nodes of this package as child processes, for users without `ros2 launch`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
import os
from pathlib import Path
import signal
import site
import subprocess
import sys
from threading import current_thread, main_thread
from typing import IO, NamedTuple

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.files import create_log
from leconvmn_ros.core.ros_domain import OWN, ros_environment

PACKAGE = 'leconvmn_ros'
# Part of the message that every node logs when it is not alone on a topic.
SEVERAL_PUBLISHERS = 'nodes publish'
# A node ends within a second of SIGTERM; what still runs after this has hung (s).
LONGEST_SHUTDOWN = 5.0


class NodeProcess(NamedTuple):
    """A running node.

    Attributes:
        name: executable.
        process: the child.
        log: what it prints, stdout and stderr together.
    """

    name: str
    process: 'subprocess.Popen[bytes]'
    log: Path

    def said(self) -> list[str]:
        """Return the lines of its log so far."""
        return self.log.read_text(encoding='utf-8', errors='replace').splitlines()

    def ending(self) -> str:
        """Return one line: how it ended, and the last line of its log."""
        last = next((line for line in reversed(self.said()) if line.strip()), 'it said nothing')
        return f'{self.name} ended with code {self.process.returncode}: {last.strip()}'


def find_executable(name: str) -> Path:
    """Find a node's program in this Python's installation or in a sourced workspace.

    Raises:
        ConfigurationError: the package is not installed.
    """
    prefixes = [
        prefix for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if prefix
    ]
    prefixes = [sys.prefix, *prefixes, site.getuserbase()]
    places = [Path(prefix, 'lib', PACKAGE) for prefix in prefixes]
    for place in places:
        if os.access(place / name, os.X_OK):
            return place / name
    raise ConfigurationError(
        f'the program {name} of {PACKAGE} is in none of {", ".join(map(str, places))}; '
        'install the package (make setup, or colcon build) and source its workspace'
    )


@contextmanager
def node_processes(log_folder: Path, domain: str = OWN) -> Iterator['Launcher']:
    """Start nodes within this context; all of them have ended when it is left.

    Args:
        log_folder: for what they print.
        domain: ROS domain, see `ros_environment`.

    Raises:
        ConfigurationError: there is no domain left.
    """
    with ros_environment(domain) as environment:
        launcher = Launcher(log_folder, environment)
        try:
            yield launcher
        finally:
            launcher.stop()


class Launcher:
    """Starts nodes and keeps track of them; use `node_processes`.

    Attributes:
        environment: that of the nodes.
    """

    def __init__(self, log_folder: Path, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self._log_folder = log_folder
        self._nodes: list[NodeProcess] = []
        self._logs: list[IO[bytes]] = []

    def start(self, name: str, parameters: Mapping[str, object]) -> NodeProcess:
        """Start a node with parameters; its output goes to NAME.log."""
        self._log_folder.mkdir(parents=True, exist_ok=True)
        command = [str(find_executable(name)), '--ros-args']
        for key, value in parameters.items():
            command += ['-p', f'{key}:={_yaml(value)}']
        log = self._log_folder / f'{name}.log'
        output = create_log(log)
        self._logs.append(output)
        with _signals_wait():
            process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
            )
            node = NodeProcess(name, process, log)
            self._nodes.append(node)
        return node

    def failed(self) -> NodeProcess | None:
        """Return a node that has ended with an error, if any has."""
        return next((node for node in self._nodes if node.process.poll()), None)

    def disturbed(self) -> str | None:
        """Return what a node logged about publishers other than these nodes, None if nothing."""
        lines = (line for node in self._nodes for line in node.said())
        return next((line for line in lines if SEVERAL_PUBLISHERS in line), None)

    def stop(self) -> None:
        """End all nodes."""
        for node in self._nodes:
            if node.process.poll() is None:
                node.process.terminate()
        for node in self._nodes:
            try:
                node.process.wait(LONGEST_SHUTDOWN)
            except subprocess.TimeoutExpired:
                node.process.kill()
                node.process.wait()
        for log in self._logs:
            log.close()


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Delay SIGINT and SIGTERM: a starting node can be ended only once its process is known."""
    if current_thread() is not main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda signal_number, _: came.append(signal_number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for signal_number in came:
        signal.raise_signal(signal_number)


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | Path):
        return str(value)
    # Quoted, so that a folder called 123 or true stays a text.
    return "'" + str(value).replace("'", "''") + "'"
