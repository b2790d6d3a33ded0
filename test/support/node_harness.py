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

"""Node processes under test, and the test's own topics and services."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
import ctypes
import os
from pathlib import Path
import signal
import subprocess
import time
from typing import Any, NamedTuple

from leconvmn_ros.core.node_processes import find_executable
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter as RclpyParameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

# Discovery takes 20 to 90 ms, now and then some seconds; torch is imported in 2 to 10 s.
PATIENCE = 60.0

LOSSLESS = QoSProfile(history=HistoryPolicy.KEEP_ALL, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    depth=1000,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


def lossless(*topics: str) -> dict[str, object]:
    """Return the parameters that make nodes lose nothing on these topics."""
    return {
        f'qos_overrides./{topic}.{side}.{policy}': value
        for topic in topics
        for side in ('subscription', 'publisher')
        for policy, value in (('reliability', 'reliable'), ('history', 'keep_all'))
    }


def wait_until(condition: Callable[[], Any], timeout: float = PATIENCE) -> bool:
    """Wait for a condition; return whether it became true in time."""
    deadline = time.monotonic() + timeout
    while not (met := bool(condition())) and time.monotonic() < deadline:
        time.sleep(0.02)
    return met


# Files in shared memory that nodes of this run made and may have left: only one who killed a node
# knows that nobody needs its files any more.
SHARED_FILES: set[Path] = set()


def _own_shared_files(pid: int) -> set[Path]:
    """Return the files in shared memory that only this process created."""
    try:
        lines = Path(f'/proc/{pid}/maps').read_text().splitlines()
    except OSError:  # it has ended
        return set()
    paths = {line.split()[-1] for line in lines if '/dev/shm/fast' in line}  # noqa: S108
    # Ports are shared with the other nodes of the domain; segments are the process's own.
    own = {path for path in paths if '_port' not in path}
    return {Path(path + end) for path in own for end in ('', '_el')}  # and their locks


class RunningNode:
    """A node of this package in a process of its own."""

    def __init__(self, log: Path, command: Sequence[str]) -> None:
        self._log = log
        with log.open('wb') as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, no lock taken
            )

    @property
    def text(self) -> str:
        """Its output so far."""
        return self._log.read_text(encoding='utf-8', errors='replace')

    def wait_for_text(self, text: str) -> None:
        """Wait until its output contains a text."""
        wait_until(lambda: text in self.text or self.process.poll() is not None)
        assert text in self.text, self.text

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait until it has ended and return its exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f'still running after {timeout} s:\n{self.text}') from None

    def kill(self) -> None:
        """Kill it if it runs, and note the files that it cannot clean up."""
        if self.process.poll() is None:
            SHARED_FILES.update(_own_shared_files(self.process.pid))
            self.process.kill()
            self.process.wait()

    def end(self, number: signal.Signals = signal.SIGTERM) -> float:
        """End the node by a signal, which must give exit code 0; return how long it took (s)."""
        self.process.send_signal(number)
        started = time.monotonic()
        code = self.wait()
        assert code == 0, f'exit code {code}:\n{self.text}'
        return time.monotonic() - started


class Nodes:
    """Starts node processes; use `started_nodes`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[RunningNode] = []

    def __call__(
        self, name: str, *arguments: str, parameters: Mapping[str, object] | None = None
    ) -> RunningNode:
        """Start a node with ROS arguments (such as '-r', '__ns:=/left') and parameters."""
        command = [str(find_executable(name)), '--ros-args', *arguments]
        for key, value in (parameters or {}).items():
            command += ['-p', f'{key}:={_yaml(value)}']
        node = RunningNode(self._folder / f'{name}_{len(self._running)}.log', command)
        self._running.append(node)
        return node

    def end(self) -> None:
        """End all, gently first: a killed node leaves files in shared memory."""
        for node in self._running:
            node.process.terminate()
        for node in self._running:
            try:
                node.process.wait(5)
            except subprocess.TimeoutExpired:
                node.kill()


@contextmanager
def started_nodes(folder: Path) -> Iterator[Nodes]:
    """Start nodes within this context; all have ended when it is left."""
    nodes = Nodes(folder)
    try:
        yield nodes
    finally:
        nodes.end()


class Arrival(NamedTuple):
    """A message and its time of arrival (s, monotonic)."""

    message: Any
    time: float


class Peer:
    """A ROS node in the test's process."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node('test_peer', context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._made: list[Callable[[], None]] = []

    def close(self) -> None:
        """Release everything."""
        self.forget()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def forget(self) -> None:
        """Remove everything that a test created."""
        for undo in self._made:
            undo()
        self._made.clear()

    def spin(self, seconds: float) -> None:
        """Process incoming messages for some time."""
        self.spin_until(lambda: False, seconds)

    def spin_until(self, condition: Callable[[], Any], timeout: float = PATIENCE) -> bool:
        """Process incoming messages; return whether the condition became true in time."""
        deadline = time.monotonic() + timeout
        while not (met := bool(condition())) and time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=0.02)
        return met

    def collect(
        self, topic: str, kind: Any, profile: QoSProfile | int = LOSSLESS, *, slow: float = 0
    ) -> list[Arrival]:
        """Subscribe; the list returned grows. `slow`: time that each message costs (s)."""
        arrivals: list[Arrival] = []

        def take(message: Any) -> None:
            arrivals.append(Arrival(message, time.monotonic()))
            time.sleep(slow)

        subscription = self.node.create_subscription(kind, topic, take, profile)
        self._made.append(lambda: self.node.destroy_subscription(subscription))
        return arrivals

    def publisher(self, topic: str, kind: Any, profile: QoSProfile | int = LOSSLESS) -> Any:
        """Make a publisher and wait for a subscriber."""
        publisher = self.node.create_publisher(kind, topic, profile)
        self._made.append(lambda: self.node.destroy_publisher(publisher))
        assert self.spin_until(publisher.get_subscription_count), f'nobody subscribes {topic}'
        return publisher

    def call(self, name: str, kind: Any, request: Any) -> Any:
        """Call a service and return its response."""
        client = self.node.create_client(kind, name)
        try:
            assert self.spin_until(client.service_is_ready), f'there is no service {name}'
            future = client.call_async(request)
            assert self.spin_until(future.done), f'no answer from {name}'
            return future.result()
        finally:
            self.node.destroy_client(client)

    def get_parameter(self, node: str, name: str) -> Any:
        """Ask a node for a parameter."""
        request = GetParameters.Request(names=[name])
        (value,) = self.call(f'{node}/get_parameters', GetParameters, request).values
        return rclpy.parameter.parameter_value_to_python(value)

    def set_parameter(self, node: str, name: str, value: object) -> Any:
        """Set a parameter of a node; returns SetParametersResult."""
        message = RclpyParameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[message])
        (result,) = self.call(f'{node}/set_parameters', SetParameters, request).results
        return result

    def describe_parameters(self, node: str, names: Sequence[str]) -> list[Any]:
        """Ask a node for descriptors."""
        request = DescribeParameters.Request(names=list(names))
        return self.call(f'{node}/describe_parameters', DescribeParameters, request).descriptors


@contextmanager
def peer() -> Iterator[Peer]:
    """Make a Peer for some time."""
    made = Peer()
    try:
        yield made
    finally:
        made.close()


_LIBC = ctypes.CDLL(None)


def _die_with_parent() -> None:
    # A test run that is killed must leave no nodes behind: prctl(PR_SET_PDEATHSIG).
    _LIBC.prctl(1, signal.SIGKILL)


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str | os.PathLike) else str(value)
