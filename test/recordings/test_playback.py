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

"""The clock of a replay, against a clock that the test controls."""

from threading import Thread
import time

from leconvmn_ros.recordings.playback import Playback
import pytest

SECOND = 1_000_000_000
FIRST_NS = 1_700_000_000 * SECOND


class Waiting:
    """Replaces the condition: waiting advances the clock, maybe too far, as in reality."""

    def __init__(self):
        self.now = 1000.0
        self.waits = []
        self.overshoot = 0.0
        self.during_wait = lambda: None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def clock(self):
        return self.now

    def wait(self, seconds=None):
        self.waits.append(seconds)
        self.during_wait()
        if seconds is not None:
            self.now += seconds + self.overshoot

    def notify_all(self):
        pass


@pytest.fixture
def waiting():
    return Waiting()


def make_playback(waiting, rate=1.0):
    playback = Playback(rate, waiting.clock)
    playback._changed = waiting
    playback.start(FIRST_NS)
    return playback


@pytest.mark.parametrize('rate', [1.0, 0.5, 8.0])
def test_a_message_is_due_at_its_distance_from_the_start(waiting, rate):
    playback = make_playback(waiting, rate)
    for seconds in (0, 0.5, 0.5, 2, 1, 700):
        assert playback.wait(FIRST_NS + round(seconds * SECOND))
        assert waiting.now == pytest.approx(1000 + max(seconds, 2 * (seconds == 1)) / rate)


def test_no_drift_over_an_hour_of_late_wakings(waiting):
    playback = make_playback(waiting)
    waiting.overshoot = 0.0015
    # 300 Hz: a period without a whole number of nanoseconds.
    latest = 0.0
    for message in range(3600 * 300):
        log_ns = FIRST_NS + message * SECOND // 300
        playback.wait(log_ns)
        latest = max(latest, waiting.now - 1000 - message / 300)
    assert latest < 0.002
    assert waiting.now - 1000 == pytest.approx(3600 - 1 / 300, abs=0.002)


def test_a_late_message_delays_no_other(waiting):
    playback = make_playback(waiting)
    waiting.now += 5  # the reader was slow
    playback.wait(FIRST_NS + SECOND)
    assert waiting.now == 1005
    playback.wait(FIRST_NS + 6 * SECOND)
    assert waiting.now == 1006


def test_rate_0_never_waits(waiting):
    playback = make_playback(waiting, rate=0)
    for seconds in (0, 10, 10**6):
        assert playback.wait(FIRST_NS + seconds * SECOND)
    assert waiting.waits == []


@pytest.mark.parametrize('rate', [1.0, 4.0, 0])
def test_pause_holds_and_resume_goes_on_where_it_was(waiting, rate):
    playback = make_playback(waiting, rate)
    playback.wait(FIRST_NS + 4 * SECOND)
    before = waiting.now
    playback.pause()
    playback.pause()  # twice is as once
    waiting.now += 70
    waiting.during_wait = playback.resume
    assert playback.wait(FIRST_NS + 4 * SECOND)
    assert waiting.waits[-1] is None  # it did wait, without an end
    assert waiting.now == pytest.approx(before + 70)
    waiting.during_wait = lambda: None
    playback.resume()  # nothing to resume
    playback.wait(FIRST_NS + 8 * SECOND)
    assert waiting.now == pytest.approx(before + 70 + (4 / rate if rate else 0))


def test_pause_in_the_middle_of_a_wait_is_kept(waiting):
    playback = make_playback(waiting)

    def pause_and_later_resume():
        playback.pause()
        waiting.during_wait = resume

    def resume():
        waiting.now += 30
        playback.resume()
        waiting.during_wait = lambda: None

    waiting.during_wait = pause_and_later_resume
    assert playback.wait(FIRST_NS + 10 * SECOND)
    assert waiting.now == pytest.approx(1000 + (10 + 30) + 10)


def test_a_playback_paused_before_it_starts_begins_at_its_first_message(waiting):
    playback = Playback(1.0, waiting.clock)
    playback._changed = waiting
    playback.pause()
    waiting.now += 100
    playback.start(FIRST_NS)
    waiting.now += 100

    def resume():
        playback.resume()
        waiting.during_wait = lambda: None

    waiting.during_wait = resume
    playback.wait(FIRST_NS + SECOND)
    assert waiting.now == pytest.approx(1000 + 200 + 1)


def test_starting_again_is_a_new_lap(waiting):
    playback = make_playback(waiting)
    playback.wait(FIRST_NS + 9 * SECOND)
    playback.start(FIRST_NS)
    playback.wait(FIRST_NS + 2 * SECOND)
    assert waiting.now == 1011


def test_stop_ends_every_wait(waiting):
    playback = make_playback(waiting)
    waiting.during_wait = playback.stop
    assert not playback.wait(FIRST_NS + SECOND)
    assert not playback.wait(FIRST_NS)
    playback.pause()
    assert not playback.wait(FIRST_NS)


def test_a_hole_of_centuries_in_the_stamps_is_no_error():
    """Python refuses a wait of more than 292 years."""
    playback = Playback(1e-6)
    playback.start(0)
    thread = Thread(target=lambda: results.append(playback.wait(10**6 * SECOND)), daemon=True)
    results = []
    thread.start()
    time.sleep(0.05)
    assert thread.is_alive()
    playback.stop()
    thread.join(5)
    assert results == [False]


def test_a_waiting_thread_notices_pause_resume_and_stop():
    playback = Playback(1.0)
    playback.start(0)
    passed = []

    def play():
        for tenth in range(100):
            if not playback.wait(tenth * SECOND // 10):
                return
            passed.append(time.monotonic())

    playback.pause()
    thread = Thread(target=play, daemon=True)
    thread.start()
    time.sleep(0.1)
    assert passed == []
    playback.resume()
    time.sleep(0.35)
    playback.stop()
    thread.join(1)
    assert not thread.is_alive()
    # Not all hundred: it stopped, however late.
    assert 2 <= len(passed) < 50
