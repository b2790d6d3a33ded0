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

"""The course of a guided session: cues, labels, pauses, what is done again, how it goes on."""

from itertools import pairwise

from leconvmn_ros.core.recording import LabelTrack, NANOSECONDS
from leconvmn_ros.dataset.cue_timing import attempts
from leconvmn_ros.wearing.course import finished_trials, LEAD, MOST_TRIES, SessionCourse, Stage
from leconvmn_ros.wearing.poses import REST_POSE
from leconvmn_ros.wearing.session import Session, Trial
from leconvmn_ros.wearing.timeline import Phase
import numpy as np
import pytest

START_NS = 7_000 * NANOSECONDS + 3  # between two ticks of anything
SESSION = Session(
    name='Test', movements=('fist', 'pinch'), repetitions=2, ramp=1, hold=1, rest=1, order='fixed'
)
TRIALS = SESSION.trials(0)


def at(time):
    return START_NS + round(time * NANOSECONDS)


class Run:
    """Steps a course and keeps all that it gave."""

    def __init__(self, step=0.033, **options):
        self.course = SessionCourse(SESSION, 0, **options)
        self.cues, self.labels = [], []
        self.time, self._step = 0.0, step

    def go(self, until):
        while self.time < until:
            self.time = round(self.time + self._step, 6)
            output = self.course.step(at(self.time))
            self.cues += output.cues
            self.labels += output.labels

    def call(self, name):
        self.labels += getattr(self.course, name)(at(self.time))

    def seconds(self):
        times = [round((label.stamp_ns - START_NS) / NANOSECONDS, 2) for label in self.labels]
        return [
            (t, label.movement, label.repetition)
            for t, label in zip(times, self.labels, strict=True)
        ]

    def track(self):
        return LabelTrack(*(np.array(column) for column in zip(*self.labels, strict=True)))


def started(**options):
    run = Run(**options)
    run.go(0.5)
    assert run.course.start(at(run.time))
    run.begin = run.time + LEAD
    return run


@pytest.mark.parametrize('step', [0.02, 0.033, 0.2, 1.0])
def test_a_session_asks_for_everything_at_exact_times_however_often_it_is_stepped(step):
    run = started(step=step)
    run.go(run.begin + SESSION.duration + 1.5)
    assert run.course.stage is Stage.DONE
    assert run.course.done == run.course.total == 4
    begins = [run.begin + 4 * k for k in range(4)]
    assert run.seconds() == [
        entry
        for begin, (movement, repetition) in zip(begins, TRIALS, strict=True)
        for entry in (
            (pytest.approx(begin, abs=0.03), movement, repetition),
            (pytest.approx(begin + 3, abs=0.03), 0, repetition),
        )
    ]
    stamps = [cue.stamp_ns for cue in run.cues]
    assert {after - before for before, after in pairwise(stamps)} == {20_000_000}


def test_the_cue_rests_before_and_after_and_is_held_in_between():
    run = started()
    run.go(run.begin + 3.9)
    poses = {
        round((cue.stamp_ns - START_NS) / NANOSECONDS - run.begin, 1): cue.pose for cue in run.cues
    }
    for time in (-3.4, -0.1, 3.5):
        np.testing.assert_allclose(poses[time], REST_POSE, atol=1e-6)
    np.testing.assert_allclose(poses[1.5], SESSION.movements[0].pose())


def test_what_is_on_and_what_comes_next():
    run = started()
    run.go(run.begin - 1.0)
    assert run.course.phase()[0] is Phase.REST
    assert run.course.phase()[1] == pytest.approx(1.0, abs=0.05)
    assert (run.course.current, run.course.following) == TRIALS[:2]
    assert run.course.remaining == pytest.approx(17.0, abs=0.05)
    run.go(run.begin + 1.5)
    assert run.course.phase()[0] is Phase.HOLD
    run.go(run.begin + 4.1)
    assert (run.course.current, run.course.following) == TRIALS[1:3]
    assert run.course.done == 1


def test_a_pause_withdraws_what_has_begun_and_it_comes_again():
    run = started()
    run.go(run.begin + 5.0)  # in the second repetition
    run.call('pause')
    assert run.course.stage is Stage.PAUSED
    run.go(run.time + 60)
    assert run.course.done == 1
    assert run.course.start(at(run.time))
    run.go(run.time + LEAD + 12.5)
    assert run.course.stage is Stage.DONE
    found = attempts(run.track(), at(run.time))
    assert [(a[:2], a.withdrawn) for a in found] == [
        (TRIALS[0], False),
        (TRIALS[1], True),
        (TRIALS[1], False),
        (TRIALS[2], False),
        (TRIALS[3], False),
    ]


def test_a_pause_before_the_cue_withdraws_nothing():
    run = started()
    run.go(run.begin - 1)
    run.call('pause')
    assert run.labels == []
    assert not run.course.pause(at(run.time))


@pytest.mark.parametrize('when', [5.0, 7.5])
def test_the_repetition_that_is_on_can_be_redone(when):
    run = started()
    run.go(run.begin + when)
    run.call('redo')
    assert run.course.current == TRIALS[1]
    assert run.course.message == 'pinch: once more'
    run.go(run.time + LEAD + 12.5)
    found = attempts(run.track(), at(run.time))
    assert [a.withdrawn for a in found] == [False, True, False, False, False]
    assert found[2][:2] == TRIALS[1]


def test_the_last_repetition_can_be_redone_from_a_pause_and_after_the_end():
    run = started()
    run.go(run.begin + 4.5)
    run.call('pause')  # withdraws the second
    run.call('redo')
    assert run.course.current == TRIALS[1]
    done = started()
    done.go(done.begin + 17)
    assert done.course.stage is Stage.DONE
    done.call('redo')
    assert done.course.stage is Stage.PAUSED
    assert done.course.start(at(done.time))
    done.go(done.time + LEAD + 4.5)
    assert done.course.stage is Stage.DONE
    found = attempts(done.track(), at(done.time))
    assert [a.withdrawn for a in found] == [False, False, False, True, False]


def test_before_the_start_there_is_nothing_to_redo():
    assert SessionCourse(SESSION, 0).redo(START_NS) == []
    run = started()
    run.call('redo')
    assert run.labels == []


def test_a_repetition_without_emg_comes_again_at_the_end():
    seen = []

    def followed(attempt):
        seen.append(attempt)
        return len(seen) != 2

    run = started(followed=followed)
    run.go(run.begin + 8.1)
    assert 'pinch: no muscle activity seen' in run.course.message
    run.go(run.begin + 21)
    assert run.course.stage is Stage.DONE
    assert run.course.without_emg == []
    found = attempts(run.track(), at(run.time))
    assert [a[:2] for a in found] == [*TRIALS, TRIALS[1]]
    assert [a.withdrawn for a in found] == [False, True, False, False, False]
    for attempt in seen:
        assert attempt.end_ns - attempt.start_ns == 3 * NANOSECONDS
        assert attempt.next_ns - attempt.start_ns >= 4 * NANOSECONDS


def test_a_wearer_without_a_muscle_for_it_is_not_asked_for_ever():
    run = started(followed=lambda attempt: attempt.movement != 2)
    run.go(run.begin + 60)
    assert run.course.stage is Stage.DONE
    assert sorted(run.course.without_emg) == [Trial(2, 1), Trial(2, 2)]
    found = attempts(run.track(), at(run.time))
    assert sum(a.movement == 2 for a in found) == 2 * MOST_TRIES
    assert sum(a.movement == 2 and not a.withdrawn for a in found) == 2


def test_a_session_that_was_killed_goes_on_where_it_was():
    run = started(followed=lambda attempt: attempt[:2] != TRIALS[0])
    run.go(run.begin + 13.5)  # in the fourth
    done = finished_trials([run.track()])
    assert done == {TRIALS[1], TRIALS[2]}  # the first had no EMG, the fourth broke off
    again = SessionCourse(SESSION, 0, finished=done)
    assert again.current == TRIALS[0]
    assert (again.done, again.total) == (2, 4)
    assert SessionCourse(SESSION, 0, finished=TRIALS).stage is Stage.DONE
    assert finished_trials([LabelTrack(*(np.array([], np.int64),) * 3)]) == set()


def test_a_clock_that_jumps_makes_up_no_cues():
    run = started()
    before = len(run.cues)
    output = run.course.step(at(run.time + 1000))
    assert len(output.cues) == 1
    output = run.course.step(at(1.0))  # back
    assert len(output.cues) <= 1
    assert before
