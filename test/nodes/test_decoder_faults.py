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

"""The decoder node when its input stops, ages, doubles or cannot be received; with real DDS."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import gc
from threading import Event
import time
from types import SimpleNamespace
from typing import Any
import weakref

from builders import make_emg
from diagnostic_msgs.msg import DiagnosticArray
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.decoding.lane import Estimate
from leconvmn_ros.emg.message import fill_message, stamp_to_ns
from leconvmn_ros.msg import EmgArray
from leconvmn_ros.nodes import decoder as decoder_node
from leconvmn_ros.nodes import decoder_reports
from leconvmn_ros.nodes.decoder import DecoderNode
from leconvmn_ros.nodes.input_events import InputEvents
from leconvmn_ros.nodes.quality_of_service import EMG_INPUT
from node_harness import LOSSLESS, PATIENCE
import numpy as np
import pytest
import rclpy
from rclpy.duration import Duration
from rclpy.event_handler import UnsupportedEventTypeError
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import LivelinessPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from small_recordings import CHANNELS, RATE, untrained_checkpoint
import torch

torch.set_num_threads(1)
CHUNK = 10  # samples in a message: 50 ms
START_NS = 1_700_000_000 * NANOSECONDS
OFF = {'input_timeout': 0.0}
RELIABLE_INPUT = {'qos_overrides./emg.subscription.reliability': 'reliable'}


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return untrained_checkpoint(tmp_path_factory.mktemp('trained'))


class Rig:
    """A decoder node in this process, and the test's own end of its topics."""

    def __init__(self, ros, node: DecoderNode) -> None:
        self.node = node
        self._ros = ros
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(node)
        self.states = ros.collect('/joint_states', JointState)
        self._diagnostics = ros.collect('/diagnostics', DiagnosticArray)

    def spin_until(self, condition: Callable[[], Any], timeout: float = PATIENCE) -> bool:
        deadline = time.monotonic() + timeout
        while not (met := bool(condition())) and time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.005)
            self._ros.spin(0.001)
        return met

    def spin(self, seconds: float) -> None:
        self.spin_until(lambda: False, seconds)

    def publisher(self, topic='/emg', kind=EmgArray, profile=LOSSLESS, *, heard=True):
        listening = self.node._listening.events.subscription
        known = listening.get_publisher_count()
        publisher = self._ros.node.create_publisher(kind, topic, profile)
        self._ros._made.append(lambda: self._ros.node.destroy_publisher(publisher))
        if heard:
            assert self.spin_until(publisher.get_subscription_count)
            if kind is EmgArray:  # what is best effort is lost until both sides know
                assert self.spin_until(lambda: listening.get_publisher_count() > known)
            assert self.spin_until(lambda: self._ros.node.count_publishers('/joint_states'))
        return publisher

    def send(self, publisher, samples, *, first=0, emg=None, start_ns=START_NS) -> None:
        """Publish a stretch of a source that is `first` samples old."""
        emg = make_emg(samples, CHANNELS) if emg is None else emg
        for at in range(0, samples, CHUNK):
            stamp_ns = start_ns + round((first + at) / RATE * NANOSECONDS)
            chunk = EmgChunk(stamp_ns, RATE, first + at, emg[at : at + CHUNK])
            known = self.counts.messages
            publisher.publish(fill_message(EmgArray(), chunk))
            assert self.spin_until(lambda k=known: self.counts.messages > k)

    @property
    def counts(self):
        return self.node._configured.decoder.counts

    @property
    def stamps(self) -> list[int]:
        return [stamp_to_ns(state.message.header.stamp) for state in self.states]

    def status(self, part: str, condition: Callable[[Any], bool] = lambda _: True) -> Any:
        """Wait for a new status of a part that meets the condition."""
        self._diagnostics.clear()

        def found() -> list[Any]:
            return [
                status
                for array, _ in self._diagnostics
                for status in array.status
                if status.name.endswith(f': {part}') and condition(status)
            ]

        assert self.spin_until(found), [s for a, _ in self._diagnostics for s in a.status]
        return found()[-1]


@pytest.fixture
def run(ros, checkpoint) -> Iterator[Callable[..., Any]]:
    """Make a context in which a decoder node runs with parameters."""

    @contextmanager
    def made(*arguments: str, **parameters: object) -> Iterator[Rig]:
        # A machine that stalls drops nothing, where that is not what is tested.
        parameters = {'checkpoint': f"'{checkpoint}'", 'longest_wait': 0.0, **parameters}
        words = ['--ros-args', *arguments]
        for name, value in parameters.items():
            words += ['-p', f'{name}:={str(value).lower() if value in (True, False) else value}']
        rclpy.init(args=words, signal_handler_options=SignalHandlerOptions.NO)
        try:
            node = DecoderNode()
            rig = Rig(ros, node)
            try:
                yield rig
            finally:
                rig.executor.shutdown()
                node.close()
                node.destroy_node()
                # The test still holds the rig; a node that outlives its context leaves files.
                del rig.node, rig.executor, node
                gc.collect()
        finally:
            rclpy.shutdown()

    return made


def estimates_of(samples: int) -> int:
    """Return how many estimates a new source gives: the first after 100 ms, then each 20 ms."""
    return samples // 4 - 4


def values_of(status) -> dict[str, str]:
    return {value.key: value.value for value in status.values}


# ---- stale input


def test_stale_input_is_told_and_a_source_that_paused_goes_on_where_it_was(run, capfd):
    with run() as rig:
        status = rig.status('input')
        assert (status.level, status.message) == (b'\x01', 'no EMG yet')
        publisher = rig.publisher()
        rig.send(publisher, 100)
        status = rig.status('input', lambda s: 'no EMG for' in s.message)
        assert status.level == b'\x02'
        assert len(rig.states) == estimates_of(100)
        rig.send(publisher, 100, first=100)
        # Nothing is missing by the counter: no image is lost, nothing resets.
        assert rig.spin_until(lambda: len(rig.states) == estimates_of(200))
        assert rig.counts.faults() == {}
        assert np.diff(rig.stamps).min() == np.diff(rig.stamps).max() == 20_000_000
    output = capfd.readouterr().err
    assert 'no EMG for 0.2 s: publishing nothing' in output
    assert 'EMG is back after' in output


def test_a_source_that_was_away_starts_afresh(run):
    with run(input_timeout=0.05) as rig:
        publisher = rig.publisher()
        rig.send(publisher, 100)
        assert rig.spin_until(lambda: rig.node._stale.stale)
        rig.send(publisher, 100, first=300)
        assert rig.counts.faults() == {'lost_samples': 200, 'restarts': 1}
        assert rig.spin_until(lambda: len(rig.states) == 2 * estimates_of(100))


def test_useless_messages_do_not_keep_the_input_fresh(run):
    with run(input_timeout=0.1) as rig:
        publisher = rig.publisher()
        rig.send(publisher, 20)
        bad = make_emg(CHUNK, CHANNELS)
        bad[0, 1] = np.nan
        for k in range(2, 1000):
            rig.send(publisher, CHUNK, first=k * CHUNK, emg=bad)
            if rig.node._stale.stale:
                break
            rig.spin(0.02)
        assert rig.node._stale.interruptions == 1


def test_the_rest_pose_is_published_while_the_input_is_stale_and_no_stamp_goes_back(run):
    with run(when_stale='rest', input_timeout=0.1) as rig:
        publisher = rig.publisher()
        rig.send(publisher, 100)
        assert rig.spin_until(lambda: len(rig.states) > estimates_of(100) + 20)
        rest = [0.1 * joint for joint in range(10)]  # the means of untrained_checkpoint
        for state in rig.states[estimates_of(100) :]:
            assert list(state.message.position) == pytest.approx(rest)
        last = rig.stamps[-1]
        # The source's time has gone on as well, less than here.
        rig.send(publisher, 100, first=120)
        assert rig.spin_until(lambda: not rig.node._stale.stale)
        late = round((last - START_NS) / NANOSECONDS * RATE) + 2000
        rig.send(publisher, 100, first=late)
        assert rig.spin_until(
            lambda: any(
                list(state.message.position) != pytest.approx(rest)
                for state in rig.states[estimates_of(100) + 20 :]
            )
        )
        assert np.diff(rig.stamps).min() > 0


def test_without_a_timeout_nothing_is_stale(run):
    with run(**OFF) as rig:
        publisher = rig.publisher()
        rig.send(publisher, 40)
        rig.spin(0.5)
        assert not rig.node._stale.stale
        assert rig.status('input').level != b'\x02'


# ---- more than can be decoded


def test_what_waited_too_long_is_dropped_and_counted_and_the_newest_decoded(run):
    with run(longest_wait=0.3, **OFF) as rig:
        publisher = rig.publisher()
        for number in range(30):
            publisher.publish(message_at(number * CHUNK))
        time.sleep(0.6)  # the node is busy with something else
        assert rig.spin_until(lambda: rig.counts.dropped_backlog == 30)
        assert rig.counts.messages == 0
        status = rig.status('input', lambda s: values_of(s)['dropped backlog, total'] == '30')
        assert status.level != b'\0'
        # What comes in time is decoded, however much was dropped before.
        assert rig.spin_until(lambda: heard(rig, publisher))
        assert rig.spin_until(lambda: rig.states)


def test_what_waited_is_decoded_where_nothing_is_to_be_dropped(run):
    with run(longest_wait=0.0, **OFF) as rig:
        publisher = rig.publisher()
        for number in range(30):
            publisher.publish(message_at(number * CHUNK))
        time.sleep(0.6)
        assert rig.spin_until(lambda: len(rig.states) == estimates_of(30 * CHUNK))
        assert rig.counts.faults() == {}


def message_at(first: int) -> EmgArray:
    stamp_ns = START_NS + round(first / RATE * NANOSECONDS)
    return fill_message(EmgArray(), EmgChunk(stamp_ns, RATE, first, make_emg(CHUNK, CHANNELS)))


def heard(rig: Rig, publisher) -> bool:
    """Send the next of a source that goes on; return whether enough of it was decoded."""
    rig.sent = getattr(rig, 'sent', 30 * CHUNK) + CHUNK
    publisher.publish(message_at(rig.sent))
    rig.spin(0.01)
    return rig.counts.samples > 100


# ---- age and clocks


def test_messages_that_are_too_old_are_refused(run):
    with run(greatest_age=60.0, **OFF) as rig:
        publisher = rig.publisher()
        now_ns = rig.node.get_clock().now().nanoseconds
        rig.send(publisher, 100, start_ns=now_ns)
        assert rig.spin_until(lambda: len(rig.states) == estimates_of(100))
        values = values_of(rig.status('output', lambda s: values_of(s)['rate (Hz)'] != '0.0'))
        assert float(values['latency from sample to estimate, median (ms)']) > -1000
        rig.send(publisher, 100, first=100, start_ns=now_ns - 100 * NANOSECONDS)
        assert rig.counts.stale_messages == 10
        assert len(rig.states) == estimates_of(100)


def test_a_clock_that_goes_back_is_told(run, capfd):
    with run(use_sim_time=True, **OFF) as rig:
        clock = rig.publisher('/clock', Clock)
        for second in (100, 101, 50):
            message = Clock()
            message.clock.sec = second

            def told(message=message) -> bool:
                # Again and again: /clock is best effort.
                clock.publish(message)
                return rig.node.get_clock().now().nanoseconds == message.clock.sec * NANOSECONDS

            assert rig.spin_until(told)
    output = capfd.readouterr().err
    assert output.count('the clock went back by 51.000 s') == 1


def test_a_topic_on_which_nothing_comes_is_told_once(run, capfd, monkeypatch):
    monkeypatch.setattr(decoder_reports, 'PATIENCE', 0.5)
    with run('-r', 'emg:=arm', **OFF) as rig:
        rig.spin(3.0)
        rig.send(rig.publisher('/arm'), 200)
        rig.spin(1.2)
    output = capfd.readouterr().err
    assert output.count('no EMG to decode on /arm for 0.5 s, publishers there: 0') == 1


# ---- diagnostics


def test_diagnostics_of_a_node_that_is_fine(run, checkpoint):
    with run('-r', '__node:=left', **OFF) as rig:
        publisher = rig.publisher()
        rig.send(publisher, 200)
        status = rig.status('input', lambda s: s.message == 'fine')
        assert status.name == 'left: input'
        values = values_of(status)
        assert values['expected rate (Hz)'] == '200'
        assert values['publishers'] == '1'
        assert values['lost samples, total'] == '0'
        rig.send(publisher, 200, first=200)
        output = rig.status('output', lambda s: values_of(s)['rate (Hz)'] != '0.0')
        values = values_of(output)
        assert values['model'] == f'le_convmn, {checkpoint}'
        assert values['device'] == rig.node._configured.decoder.device
        assert float(values['processing of a message, median (ms)']) > 0
        assert values['latency'] == 'unknown: the EMG is stamped by another clock'
        signal = rig.status('signal')
        assert values_of(signal)['channel 3'] == 'fine'
        assert (signal.level, signal.message) == (b'\x00', 'fine')


def test_broken_channels_are_told(run):
    with run(**OFF) as rig:
        publisher = rig.publisher()
        emg = make_emg(300, CHANNELS)
        emg[:, 2] = 0
        rig.send(publisher, 300, emg=emg)
        status = rig.status('signal', lambda s: 'channel 2' in s.message)
        assert status.level == b'\x01'
        assert values_of(status)['channel 2'] == 'flat, masked'
        assert values_of(status)['channel 1'] == 'fine'
        assert values_of(status)['flat channels, total'] == '1'
        emg[:, :3] = 0
        before = len(rig.states)
        rig.send(publisher, 300, first=300, emg=emg)
        status = rig.status('signal', lambda s: 'no estimates' in s.message)
        assert status.level == b'\x02'
        # The other two are found dead after a second of a second and a half.
        assert rig.counts.withheld_estimates == 25
        assert rig.spin_until(lambda: len(rig.states) >= before + 50)


# ---- what the middleware says


def test_two_publishers_are_told_once(run, capfd):
    with run(**OFF) as rig:
        rig.publisher()
        rig.publisher()
        status = rig.status('input', lambda s: 'publishers' in s.message)
        assert (status.level, status.message) == (b'\x02', '2 publishers: their samples are mixed')
        rig.status('input')
    assert capfd.readouterr().err.count('2 nodes publish /emg') == 1


def test_a_publisher_that_cannot_be_heard_is_told_with_what_to_do(run, ros, capfd):
    with run(**OFF, **RELIABLE_INPUT) as rig:
        best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        rig.publisher(profile=best_effort, heard=False)
        status = rig.status('input', lambda s: 'cannot be received' in s.message)
        assert status.level == b'\x02'
        assert 'set qos_overrides./emg.subscription.reliability to best_effort' in status.message
        ros.forget()
        rig._diagnostics = ros.collect('/diagnostics', DiagnosticArray)
        rig.status('input', lambda s: 'cannot be received' not in s.message)
    output = capfd.readouterr().err
    assert output.count('it is best effort, but this node requests reliable') == 1
    assert 'offering incompatible QoS' not in output


def test_deadline_and_liveliness_are_told(run, ros, capfd):
    asked = {
        'qos_overrides./emg.subscription.deadline': 50_000_000,
        'qos_overrides./emg.subscription.liveliness': 'manual_by_topic',
        'qos_overrides./emg.subscription.liveliness_lease_duration': 100_000_000,
    }
    with run(**OFF, **asked) as rig:
        rig.publisher(heard=False)
        rig.status('input', lambda s: 'cannot be received' in s.message)
        ros.forget()
        offered = QoSProfile(
            depth=10,
            deadline=Duration(nanoseconds=50_000_000),
            liveliness=LivelinessPolicy.MANUAL_BY_TOPIC,
            liveliness_lease_duration=Duration(nanoseconds=100_000_000),
        )
        publisher = rig.publisher(profile=offered)
        rig.send(publisher, 20)
        assert rig.spin_until(lambda: rig.node._listening.events.missed_deadlines)
        rig.spin(1.2)
        ros.forget()
        rig.spin(1.2)
    output = capfd.readouterr().err
    assert 'no message on /emg within the deadline' in output
    assert 'no longer alive' in output


def test_a_middleware_that_tells_nothing_is_told(run, monkeypatch):
    with run(**OFF) as rig:
        create = DecoderNode.create_subscription

        def without_events(*arguments, event_callbacks=None, **options):
            if event_callbacks is not None:
                raise UnsupportedEventTypeError
            return create(*arguments, **options)

        monkeypatch.setattr(DecoderNode, 'create_subscription', without_events)
        events = InputEvents(rig.node, EmgArray, 'other', lambda _: None, EMG_INPUT)
        assert events.news() == ['this middleware reports no faults of /other']
        assert events.news() == []
        rig.node.destroy_subscription(events.subscription)
        del events


def test_lost_messages_are_told_with_their_number(run):
    with run(**OFF) as rig:
        events = rig.node._listening.events
        for count in (3, 4):
            events._on_lost(SimpleNamespace(total_count_change=count))
        assert events.lost_messages == 7
        assert 'the middleware lost messages on /emg, 7 so far' in events.news()[-1]
        del events


# ---- the end


def test_who_is_asked_to_end_waits_for_no_reader(run, monkeypatch):
    attempts = []

    class FullReader:
        def publish(self, message) -> None:
            attempts.append(message)
            raise rclpy_implementation.RCLError('no room')

    asked = Event()
    asked.set()
    with run(**OFF) as rig:
        monkeypatch.setattr(decoder_node, 'ASKED_TO_END', asked)
        configured = rig.node._configured._replace(publisher=FullReader())
        rig.node._publish(Estimate(START_NS, np.zeros(10)), configured)
        assert rig.counts.faults() == {'undelivered_estimates': 1}
    assert len(attempts) == 1


# ---- life cycle


def entities(node) -> dict[str, int]:
    return {
        name: len(list(getattr(node, name)))
        for name in ('subscriptions', 'publishers', 'timers', 'services', 'waitables', 'guards')
    }


def live(node, cycles: int) -> list[Any]:
    """Go through life cycles, check what is there in each; return what shall have gone."""
    unconfigured, active, decoders = entities(node), [], []
    for _ in range(cycles):
        for name in ('configure', 'activate', 'deactivate', 'activate', 'deactivate', 'cleanup'):
            assert getattr(node, f'trigger_{name}')() is TransitionCallbackReturn.SUCCESS
            if name == 'activate':
                active.append(entities(node))
                decoders.append(weakref.ref(node._configured.decoder))
        assert entities(node) == unconfigured
        assert node._configured is None
    assert all(there == active[0] for there in active)
    assert active[0]['subscriptions'] == unconfigured['subscriptions'] + 1
    assert active[0]['publishers'] == unconfigured['publishers'] + 1
    assert active[0]['timers'] == unconfigured['timers'] + 1
    return decoders


def test_many_life_cycles_leave_nothing_behind(run):
    with run(autostart=False) as rig:
        decoders = live(rig.node, cycles=20)
        gc.collect()
        assert len(decoders) == 40
        assert not any(decoder() for decoder in decoders)


def test_what_cannot_be_configured_stays_unconfigured_with_the_reason(run, capfd):
    with run(autostart=False, device='abacus') as rig:
        before = entities(rig.node)
        assert rig.node.trigger_configure() is TransitionCallbackReturn.FAILURE
        assert rig.node._state_machine.current_state[1] == 'unconfigured'
        assert entities(rig.node) == before
    assert 'allowed are auto, cpu' in capfd.readouterr().err
