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

"""The signals kept for the live view, the frames of the hand, and the served page."""

from http.client import HTTPConnection
import socket
import sys

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.hands.urdf import hand_urdf
from leconvmn_ros.view.page import LiveView
from leconvmn_ros.view.signals import AngleTrace, BIN_NS, BINS, EmgEnvelope, LiveSignals, RECENT
from leconvmn_ros.view.urdf_frames import read_frames
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

START_NS = 1_000_000 * BIN_NS
MS = 1_000_000


def chunks(samples, rate, size, start_ns=START_NS):
    for first in range(0, len(samples), size):
        stamp_ns = start_ns + round(first * NANOSECONDS / rate)
        yield EmgChunk(stamp_ns, rate, first, samples[first : first + size])


def noise(count, channels=3):
    return np.random.default_rng(count).standard_normal((count, channels)).astype(np.float32)


def envelope(pieces):
    made = EmgEnvelope()
    for chunk in pieces:
        made.add(chunk)
    return made


@pytest.mark.parametrize(('rate', 'size'), [(200.0, 1), (200.0, 7), (2000.0, 40), (1925.9, 100)])
def test_each_bin_has_the_extremes_of_its_samples(rate, size):
    samples = noise(round(8 * rate))
    trace = envelope(chunks(samples, rate, size)).trace()
    assert trace.shape == (2 * BINS, 3)
    bins = [
        (chunk.stamp_ns + np.int64(k * (NANOSECONDS / rate))) // BIN_NS
        for chunk in chunks(samples, rate, size)
        for k in range(len(chunk.samples))
    ]
    oldest = bins[-1] - BINS + 1
    for row in range(0, BINS, 17):
        inside = samples[np.array(bins) == oldest + row]
        np.testing.assert_array_equal(trace[2 * row], inside.min(axis=0))
        np.testing.assert_array_equal(trace[2 * row + 1], inside.max(axis=0))


def test_a_peak_of_one_sample_is_seen():
    samples = np.zeros((12000, 2), np.float32)
    samples[7001, 1] = 5
    trace = envelope(chunks(samples, 2000.0, 40)).trace()
    assert np.nanmax(trace, axis=0).tolist() == [0, 5]


def test_what_comes_late_is_put_in_its_place_and_what_is_lost_is_empty():
    samples = noise(1000)
    pieces = list(chunks(samples, 200.0, 20))
    in_order = envelope(pieces).trace()
    pieces[40], pieces[41] = pieces[41], pieces[40]
    np.testing.assert_array_equal(envelope(pieces).trace(), in_order)
    del pieces[30]
    holes = np.isnan(envelope(pieces).trace()[:, 0]) & ~np.isnan(in_order[:, 0])
    assert holes.sum() == 2 * 5  # 20 samples of 5 ms in bins of 20 ms


def test_what_came_long_ago_does_not_come_back():
    old, new = noise(20), noise(20)
    pieces = [
        EmgChunk(START_NS, 200.0, 0, old),
        EmgChunk(START_NS + 60 * NANOSECONDS, 200.0, 12000, new),
    ]
    assert np.nanmax(np.abs(envelope(pieces).trace())) == np.abs(new).max()


def test_a_bag_that_starts_again_and_another_source_start_afresh():
    samples = noise(600)
    once = envelope(chunks(samples, 200.0, 20))
    again = envelope([*chunks(100 * samples, 200.0, 20), *chunks(samples[:100], 200.0, 20)])
    assert np.nanmax(np.abs(again.trace())) == np.abs(samples[:100]).max()
    once.add(EmgChunk(once.end_ns, 200.0, 600, noise(4, channels=5)))
    assert once.channels == once.trace().shape[1] == 5


def test_values_that_are_not_finite_are_left_out():
    samples = noise(40)
    broken = samples.copy()
    broken[::2, 0] = [np.nan, np.inf] * 10
    trace = envelope(chunks(broken, 200.0, 20)).trace()
    assert np.nanmax(trace[:, 0]) == samples[1::2, 0].max()
    np.testing.assert_array_equal(trace[:, 1], envelope(chunks(samples, 200.0, 20)).trace()[:, 1])


def test_angles_are_matched_by_name_and_interpolated():
    trace = AngleTrace()
    names = JOINT_NAMES[::-1]
    for number in range(100):
        angles = number * 0.01 + np.arange(10)
        state = dict(zip((*names, 'wrist'), (*angles[::-1], 99.0), strict=True))
        trace.add(START_NS + number * 20 * MS, state)
    assert trace.latest == {name: pytest.approx(0.99 + k) for k, name in enumerate(JOINT_NAMES)}
    times = START_NS + np.array([-1, 0, 333, 1980, 1981]) * MS
    shown = trace.trace(times)
    assert np.isnan(shown[[0, 4]]).all()  # neither before nor after
    np.testing.assert_allclose(
        shown[1:4], np.array([0, 0.1665, 0.99])[:, None] + np.arange(10), atol=1e-9
    )


def test_missing_and_undefined_joints_stay_unknown():
    trace = AngleTrace()
    trace.add(START_NS, {'index_mcp': 0.5, 'index_pip': float('nan')})
    assert trace.latest == {'index_mcp': 0.5}
    shown = trace.trace(np.array([START_NS]))[0]
    assert np.flatnonzero(~np.isnan(shown)).tolist() == [JOINT_NAMES.index('index_mcp')]


def test_joints_that_come_in_turns_are_shown_together():
    trace = AngleTrace()
    for number in range(100):
        half = JOINT_NAMES[:5] if number % 2 else JOINT_NAMES[5:]
        assert trace.add(START_NS + number * 20 * MS, dict.fromkeys(half, 0.5))
    assert trace.latest == dict.fromkeys(JOINT_NAMES, 0.5)
    shown = trace.trace(START_NS + np.arange(100, 1900, 7) * MS)
    np.testing.assert_allclose(shown, 0.5)
    # One that does not come any more is not shown forever.
    for number in range(100, 200):
        trace.add(START_NS + number * 20 * MS, dict.fromkeys(JOINT_NAMES[:5], 0.5))
    assert trace.latest == dict.fromkeys(JOINT_NAMES[:5], 0.5)


def test_a_state_of_other_joints_is_no_angle():
    trace = AngleTrace()
    assert not trace.add(START_NS, {'wheel': 1.0, 'index_mcp': float('inf')})
    assert trace.end_ns is None


def test_a_late_state_is_not_shown_but_a_new_start_is():
    trace = AngleTrace()
    name = JOINT_NAMES[0]
    trace.add(START_NS, {name: 0.1})
    trace.add(START_NS - 100 * MS, {name: 0.9})
    assert trace.latest == {name: 0.1}
    trace.add(START_NS - 5000 * MS, {name: 0.7})
    assert trace.latest == {name: 0.7}
    assert np.isnan(trace.trace(np.array([START_NS]))).all()


@pytest.fixture
def signals():
    """Return signals and a list with the time on their clock."""
    now = [0.0]
    made = LiveSignals(clock=lambda: now[0])
    return made, now


def feed(signals, now, seconds, latency_ns=7 * MS, without=()):
    for number in range(round(seconds * 50)):
        now[0] += 0.02
        stamp_ns = START_NS + round(now[0] * NANOSECONDS)
        if number not in without:
            first = round(now[0] * 200)
            signals.add_emg(
                EmgChunk(stamp_ns, 200.0, first, np.zeros((4, 2), np.float32)), stamp_ns
            )
        signals.add_estimate(stamp_ns, dict.fromkeys(JOINT_NAMES, 0.0), stamp_ns + latency_ns)


def test_status_of_the_last_seconds(signals):
    made, now = signals
    feed(made, now, 4)
    status = made.status()
    assert (status.channels, status.lost, status.late, status.refused) == (2, 0, 0, 0)
    assert status.emg_rate == pytest.approx(200, rel=0.02)
    assert status.estimate_rate == pytest.approx(50, rel=0.02)
    assert status.latency == pytest.approx(0.007)
    now[0] += 2 * RECENT
    silent = made.status()
    assert (silent.emg_rate, silent.estimate_rate, silent.latency) == (0, 0, None)


def test_lost_samples_and_late_estimates_are_counted(signals):
    made, now = signals
    feed(made, now, 1, without=(10, 11))
    assert made.status().lost == 8
    assert made.status().late == 0
    feed(made, now, 3, latency_ns=101 * MS)
    assert made.status().late == 150
    assert made.status().latency == pytest.approx(0.101)


def test_memory_does_not_grow(signals):
    made, now = signals

    def size():
        lists = (made._emg_arrivals, made._estimate_arrivals, made._latencies)
        return [len(entries) for entries in (*lists, made.estimate._points)]

    feed(made, now, 20)
    before = size()
    feed(made, now, 40)
    assert size() == pytest.approx(before, abs=1)  # seconds are rounded


def test_a_reference_as_fast_as_the_emg_is_thinned():
    trace = AngleTrace()
    for number in range(4000):
        trace.add(START_NS + number * MS // 2, dict.fromkeys(JOINT_NAMES, number / 1000))
    assert len(trace._points) < 250
    assert trace.latest['index_mcp'] == 3.999
    shown = trace.trace(np.array([START_NS + 1000 * MS]))
    np.testing.assert_allclose(shown, 2.0, atol=1e-6)


ARM = """<robot name="arm">
  <link name="base"><visual><geometry><sphere radius="0.1"/></geometry></visual></link>
  <link name="upper"><visual><origin xyz="0.5 0 0" rpy="0 1.5707963267948966 0"/>
    <geometry><cylinder radius="0.1" length="1"/></geometry></visual></link>
  <link name="lower"/><link name="tip"/>
  <joint name="elbow" type="revolute"><parent link="upper"/><child link="lower"/>
    <origin xyz="1 0 0"/><axis xyz="0 0 2"/><mimic joint="shoulder" multiplier="0.5" offset="0.1"/>
  </joint>
  <joint name="shoulder" type="revolute"><parent link="base"/><child link="upper"/>
    <origin xyz="0 0 1" rpy="0 0 0.2"/><axis xyz="0 0 1"/></joint>
  <joint name="end" type="fixed"><parent link="lower"/><child link="tip"/>
    <origin xyz="1 0 0"/></joint>
</robot>"""


def positions(frames, angles):
    """Return the position of each frame, as in a browser with nested frames."""
    places = {}
    for frame in frames:
        parent = frame.path.rpartition('/')[0]
        place, turn = places.get(parent, (np.zeros(3), Rotation.identity()))
        own = Rotation.from_quat(np.roll(frame.turned(angles), -1))
        places[frame.path] = place + turn.apply(frame.position), turn * own
    return {path.rpartition('/')[2]: place for path, (place, _) in places.items()}


def test_frames_turn_as_the_urdf_says():
    places = positions(read_frames(ARM), {'shoulder': 0.6, 'elbow': 9.0})
    upper, lower = 0.2 + 0.6, 0.2 + 0.6 + 0.5 * 0.6 + 0.1
    np.testing.assert_allclose(places['upper'], [0, 0, 1])
    np.testing.assert_allclose(places['lower'], [np.cos(upper), np.sin(upper), 1])
    np.testing.assert_allclose(
        places['tip'], [np.cos(upper) + np.cos(lower), np.sin(upper) + np.sin(lower), 1]
    )


def test_shapes_of_the_urdf():
    base, upper, *_ = read_frames(ARM)
    assert (base.shapes[0].kind, base.shapes[0].size) == ('sphere', (0.1,))
    (cylinder,) = upper.shapes
    assert (cylinder.kind, cylinder.size) == ('cylinder', (0.1, 1.0))
    np.testing.assert_allclose(cylinder.position, [0.5, 0, 0])
    np.testing.assert_allclose(cylinder.rotation.apply([0, 0, 1]), [1, 0, 0], atol=1e-12)


@pytest.mark.parametrize('side', ['left', 'right'])
def test_every_joint_of_the_decoder_moves_its_finger_of_the_hand(side):
    frames = read_frames(hand_urdf(side))
    open_hand = positions(frames, {})
    for name in JOINT_NAMES:
        bent = positions(frames, {name: 0.5})
        moved = {link for link, place in bent.items() if np.ptp(place - open_hand[link])}
        assert moved
        assert all(link.startswith(name.partition('_')[0]) for link in moved)


@pytest.mark.parametrize(
    ('old', 'new', 'reason'),
    [
        ('</robot>', '', 'is not XML'),
        ('<sphere radius="0.1"/>', '<mesh filename="hand.stl"/>', 'mesh cannot be drawn'),
        ('type="fixed"', 'type="prismatic"', 'joint end is of type prismatic; allowed are fixed'),
        ('<link name="tip"/>', '<link name="tip"/><link name="loose"/>', "'base', 'loose'"),
    ],
)
def test_a_urdf_that_cannot_be_drawn_is_refused(old, new, reason):
    with pytest.raises(ConfigurationError, match=reason):
        read_frames(ARM.replace(old, new))


def test_without_viser_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'viser', None)
    with pytest.raises(ConfigurationError, match=r'pip install "viser<1\.2"'):
        LiveView('127.0.0.1', 8080, 'right')


@pytest.fixture
def view():
    pytest.importorskip('viser', reason='viser is not installed')
    views = []

    def make(port=8200, host='127.0.0.1'):
        views.append(LiveView(host, port, 'right'))
        return views[-1]

    yield make
    for made in views:
        made.close()


def test_the_page_is_served_at_a_free_port(view):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        made = view(port)
        assert made.url.startswith('http://127.0.0.1:')
        assert made.url != f'http://127.0.0.1:{port}'
        made.draw(LiveSignals())  # nobody looks, nothing came
        connection = HTTPConnection(made.url.removeprefix('http://'), timeout=30)
        connection.request('GET', '/')
        answer = connection.getresponse()
        assert answer.status == 200
        assert b'<html' in answer.read()
        connection.close()


def test_a_host_that_is_not_here_is_refused(view):
    with pytest.raises(ConfigurationError, match=r"cannot serve at host '203\.0\.113\.1'"):
        view(host='203.0.113.1')


def test_the_page_can_open_no_way_into_the_network(view):
    assert view()._server.request_share_url() is None
