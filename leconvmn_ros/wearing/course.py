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

"""The course of a guided session: what is shown when, and what is repeated.

It has no side effects: it is given the time and what the EMG shows, and returns the poses and
labels to publish. Labels alone determine what counts: a rest with repetition 0 withdraws the
repetition before it. A session can therefore be continued from the labels of its bags.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from enum import Enum
from typing import NamedTuple

from leconvmn_ros.core.recording import LabelTrack, NANOSECONDS
from leconvmn_ros.dataset.cue_timing import Attempt, attempts
from leconvmn_ros.wearing.poses import REST_POSE
from leconvmn_ros.wearing.session import Movement, Session, Trial
from leconvmn_ros.wearing.timeline import cue_pose, moment, PERIOD, Phase, to_ns
import numpy as np
from numpy.typing import NDArray

# Time to get ready after start, pause and redo (s).
LEAD = 3.0
# Tries of a repetition without EMG, after which it is left: the wearer may have no muscle for
# it.
MOST_TRIES = 3
# After a longer silence of the clock (s), the poses in between are skipped.
LONGEST_STEP = 2.0

PERIOD_NS = to_ns(PERIOD)
BEFORE_NEXT_NS = to_ns(0.001)


class Stage(Enum):
    """The stage of a session."""

    READY = 'ready'
    RUNNING = 'running'
    PAUSED = 'paused'
    DONE = 'done'


class Label(NamedTuple):
    """A movement label to publish; see MovementLabel.msg."""

    stamp_ns: int
    movement: int
    repetition: int


class Cue(NamedTuple):
    """A pose to publish (rad), shape (10,)."""

    stamp_ns: int
    pose: NDArray[np.float64]


class Output(NamedTuple):
    """The result of a step, each part in order of time."""

    cues: list[Cue]
    labels: list[Label]


class SessionCourse:
    """A running session.

    Attributes:
        session: the session.
        stage: its stage.
        message: the last event, in words.
        without_emg: repetitions without EMG in all tries.
    """

    def __init__(
        self,
        session: Session,
        seed: int,
        *,
        finished: Iterable[Trial] = (),
        followed: Callable[[Attempt], bool] = lambda _: True,
    ) -> None:
        """Prepare a session.

        Args:
            session: the session.
            seed: seed of its order.
            finished: repetitions already done.
            followed: whether an attempt that has just ended showed EMG.
        """
        self.session = session
        self.stage = Stage.READY
        self.message = ''
        self.without_emg: list[Trial] = []
        known = set(finished)
        trials = session.trials(seed)
        self._total = len(trials)
        self._pending = deque(trial for trial in trials if trial not in known)
        self._tries: Counter[Trial] = Counter()
        self._followed = followed
        self._last: Trial | None = None  # done, but may still be withdrawn
        self._start_ns = 0  # of the present cue, or of the next one
        self._asked = False  # whether its label was published
        self._ended = False  # whether the label of the rest after it was published
        self._shown_ns: int | None = None
        self._now_ns = 0
        if not self._pending:
            self.stage = Stage.DONE

    @property
    def current(self) -> Trial | None:
        """The present or next repetition."""
        return self._pending[0] if self._pending else None

    @property
    def following(self) -> Trial | None:
        """The repetition after that."""
        return self._pending[1] if len(self._pending) > 1 else None

    @property
    def done(self) -> int:
        """Number of repetitions that count."""
        return self._total - len(self._pending)

    @property
    def total(self) -> int:
        """Number of repetitions of the session."""
        return self._total

    @property
    def remaining(self) -> float:
        """Time until the end without repetitions (s)."""
        if self.stage is Stage.DONE:
            return 0.0
        left = len(self._pending) * self.session.period
        if self.stage is Stage.RUNNING:
            left -= (self._now_ns - self._start_ns) / NANOSECONDS
        return max(0.0, left)

    @property
    def since_cue(self) -> float:
        """Time since the present cue (s), negative before it."""
        return (self._now_ns - self._start_ns) / NANOSECONDS

    def movement(self, trial: Trial) -> Movement:
        """Return the movement of a trial."""
        return self.session.movements[trial.movement - 1]

    def start(self, now_ns: int) -> bool:
        """Start, or continue after a pause; return False if it is running or over."""
        if self.stage not in {Stage.READY, Stage.PAUSED}:
            return False
        self.stage, self.message = Stage.RUNNING, ''
        self._get_ready(now_ns)
        return True

    def pause(self, now_ns: int, reason: str = '') -> list[Label]:
        """Pause the session; a repetition in progress is withdrawn and repeated."""
        if self.stage is not Stage.RUNNING:
            return []
        self.stage, self.message = Stage.PAUSED, reason
        return self._withdraw_current(now_ns)

    def redo(self, now_ns: int) -> list[Label]:
        """Withdraw the present or last repetition, and repeat it next."""
        if self.stage is Stage.READY:
            return []
        labels = self._withdraw_current(now_ns)
        if not labels and self._last is not None:
            self._pending.appendleft(self._last)
            labels = [Label(now_ns, 0, 0)]
        if not labels:
            return []
        again = self._pending[0]
        self._last = None
        self.message = f'{self.movement(again).name}: once more'
        if self.stage is Stage.DONE:
            self.stage = Stage.PAUSED
        if self.stage is Stage.RUNNING:
            self._get_ready(now_ns)
        return labels

    def step(self, now_ns: int) -> Output:
        """Advance to this time (ns, not decreasing).

        Returns:
            All poses since the last step, a PERIOD apart, and the labels that are due.
        """
        output = Output([], [])
        first = self._shown_ns
        if first is None or not 0 <= now_ns - first <= to_ns(LONGEST_STEP):
            first = now_ns - PERIOD_NS
        for stamp_ns in range(first + PERIOD_NS, now_ns + 1, PERIOD_NS):
            self._advance(stamp_ns, output)
            self._shown_ns = stamp_ns
        return output

    def _advance(self, now_ns: int, output: Output) -> None:
        self._now_ns = now_ns
        pose = REST_POSE
        trial = self.current
        if self.stage is Stage.RUNNING and trial is not None:
            if self.since_cue >= 0 and not self._asked:
                self._asked = True
                self._last = None
                output.labels.append(Label(self._start_ns, *trial))
            ending = to_ns(self.session.moving)
            if self.since_cue >= self.session.moving and not self._ended:
                self._ended = True
                output.labels.append(Label(self._start_ns + ending, 0, trial.repetition))
            pose = cue_pose(self.session, self.movement(trial), self.since_cue)
            if self.since_cue >= self.session.period:
                output.labels.extend(self._finish(trial, now_ns))
        output.cues.append(Cue(now_ns, pose))

    def _finish(self, trial: Trial, now_ns: int) -> list[Label]:
        """Judge a completed repetition, and go on to the next one."""
        self._pending.popleft()
        self._tries[trial] += 1
        attempt = Attempt(
            *trial, self._start_ns, self._start_ns + to_ns(self.session.moving), now_ns
        )
        labels = []
        name = self.movement(trial).name
        self.message = ''
        self._last = trial
        if not self._followed(attempt):
            if self._tries[trial] < MOST_TRIES:
                self._last = None
                self._pending.append(trial)
                self.message = f'{name}: no muscle activity seen, it is repeated later'
                # Before the next cue, whose label may have this very time.
                end_ns = self._start_ns + to_ns(self.session.period)
                labels.append(Label(end_ns - BEFORE_NEXT_NS, 0, 0))
            else:
                self.without_emg.append(trial)
                self.message = f'{name}: no muscle activity seen {MOST_TRIES} times, left as it is'
        self._start_ns += to_ns(self.session.period)
        self._asked = self._ended = False
        if not self._pending:
            self.stage = Stage.DONE
        return labels

    def _withdraw_current(self, now_ns: int) -> list[Label]:
        """Withdraw the repetition of the present cue; none while the next one is awaited."""
        if not self._asked:
            return []
        self._asked = self._ended = False
        return [Label(now_ns, 0, 0)]

    def _get_ready(self, now_ns: int) -> None:
        self._start_ns = now_ns + to_ns(LEAD)
        self._asked = self._ended = False

    def phase(self) -> tuple[Phase | None, float, float]:
        """Return the phase, its remaining time and its duration (s)."""
        if self.stage is not Stage.RUNNING or self.current is None:
            return None, 0.0, 0.0
        if self.since_cue < 0:
            return Phase.REST, -self.since_cue, max(LEAD, -self.since_cue)
        now = moment(self.session, self.since_cue)
        span = {
            Phase.GO: self.session.ramp,
            Phase.HOLD: self.session.hold,
            Phase.RETURN: self.session.ramp,
            Phase.REST: self.session.rest,
        }[now.phase]
        return now.phase, now.left, span


def finished_trials(tracks: Iterable[LabelTrack]) -> set[Trial]:
    """Return the repetitions that are done according to the labels of earlier bags.

    Args:
        tracks: label tracks of the bags of the session.
    """
    done = set()
    for track in tracks:
        if not len(track.stamps_ns):
            continue
        # A repetition in which the recording broke off has no rest after it.
        for attempt in attempts(track, int(track.stamps_ns[-1]) + 1):
            if not attempt.withdrawn and attempt.end_ns < attempt.next_ns:
                done.add(Trial(attempt.movement, attempt.repetition))
    return done
