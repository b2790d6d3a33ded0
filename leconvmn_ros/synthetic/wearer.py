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

"""A simulated wearer: sees a cue, follows it late and unevenly, and produces EMG.

Muscles and electrodes are those of the synthetic subject. The wearer adds a reaction time to each
cue (drawn separately for the way there and back), a size and an effort for each repetition, and a
hand that is never quite still. It replaces a person when the guided session is tried out or
tested; scores on it say nothing about people.

Sources:
    Reaction to the cue in Ninapro DB1 and DB5: 0.8 to 0.9 s (median), with 0.2 to 0.3 s of spread.
    A tracking hand as a second-order system: McRuer, Automatica 16 (1980) 237.
"""

from collections import deque
from typing import NamedTuple

from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import NANOSECONDS
from leconvmn_ros.synthetic.config import SyntheticSubjectConfig
from leconvmn_ros.synthetic.emg import (
    crosstalk,
    ElectrodeStream,
    HOLDING_DRIVE,
    moment_shares,
    MOVING_DRIVE,
    MUSCLES,
)
from leconvmn_ros.synthetic.motion import CONTROL_RATE, DRIFT_BAND, FLEXION, TREMOR_BAND, WAVES
import numpy as np
from numpy.typing import NDArray

REACTION, REACTION_SPREAD = 0.85, 0.25  # s
REACTION_RANGE = (0.35, 1.8)  # s
TRACKING_TIME = 0.12  # s, of the second-order system that follows the cue
# How long the cue is remembered (s).
MEMORY = 4.0
# A cue this far from rest asks for a movement; one that falls by this much goes back (rad).
AWAY, FALLING = 0.05, 0.02
# People do not copy the cue exactly (ratio), and muscles of a finger differ (log ratio).
SIZE_SPREAD = 0.1


class Piece(NamedTuple):
    """The output of a wearer over some time.

    Attributes:
        emg: amplitudes (V), shape (samples, channels).
        motion: angles of the ten joints at CONTROL_RATE (rad), shape (times, 10).
    """

    emg: NDArray[np.float32]
    motion: NDArray[np.float64]


class SimulatedWearer:
    """Follows a cue in steps of time."""

    def __init__(self, config: SyntheticSubjectConfig, rest: NDArray[np.float64]) -> None:
        """Make a wearer.

        Args:
            config: person and electrodes; its exercise is ignored.
            rest: the resting hand (rad), shape (10,).
        """
        person, anatomy, source, electrodes = np.random.SeedSequence(config.seed).spawn(4)
        mixing_seed, noise_seed = electrodes.spawn(2)
        mixing = config.contraction_amplitude * crosstalk(config, anatomy, mixing_seed)
        self._electrodes = ElectrodeStream(config, mixing, (source, noise_seed))
        self._config, self._rest = config, np.asarray(rest, dtype=np.float64)
        self._draw = np.random.default_rng(person)
        self._seen: deque[tuple[float, NDArray[np.float64]]] = deque()
        self._reaction = REACTION
        self._away = self._returning = False
        self._farthest = 0.0
        self._size = np.ones(len(JOINT_NAMES))
        self._effort = np.ones(len(MUSCLES))
        self._offset = np.zeros(len(JOINT_NAMES))  # from rest (rad)
        self._speed = np.zeros(len(JOINT_NAMES))
        self._ticks = 0
        self._drift = _Waves(self._draw, DRIFT_BAND, config.posture_drift / 2)
        self._tremor = _Waves(self._draw, TREMOR_BAND, config.tremor)

    def see(self, stamp_ns: int, pose: NDArray[np.float64]) -> None:
        """Show a pose of the cue (rad), shape (10,), at this time."""
        time = stamp_ns / NANOSECONDS
        self._seen.append((time, np.asarray(pose, dtype=np.float64) - self._rest))
        while self._seen[0][0] < time - MEMORY:
            self._seen.popleft()
        way = float(np.linalg.norm(self._seen[-1][1]))
        if way > AWAY and not self._away:
            self._begin()
        self._farthest = max(self._farthest, way)
        if self._away and not self._returning and way < self._farthest - FALLING:
            # Freeze the present position, so that a new delay causes no motion.
            self._returning, self._reaction = True, self._draw_reaction()
        if way <= AWAY:
            self._away = self._returning = False
            self._farthest = 0.0

    def move(self, now_ns: int, ticks: int) -> Piece:
        """Advance by some ticks of CONTROL_RATE, the last of them now.

        Args:
            now_ns: time of the last tick (ns).
            ticks: number of ticks.
        """
        times = now_ns / NANOSECONDS - np.arange(ticks - 1, -1, -1) / CONTROL_RATE
        wanted = self._wanted(times - self._reaction)
        offsets = np.empty_like(wanted)
        speeds = np.empty_like(wanted)
        dt, time = 1 / CONTROL_RATE, TRACKING_TIME
        for tick, target in enumerate(wanted):  # critically damped
            pull = (target - self._offset) / time**2 - 2 * self._speed / time
            self._speed = self._speed + dt * pull
            self._offset = self._offset + dt * self._speed
            offsets[tick], speeds[tick] = self._offset, self._speed
        elapsed = (self._ticks + np.arange(ticks)) / CONTROL_RATE
        self._ticks += ticks
        tremor = self._tremor.at(elapsed)
        motion = self._rest + offsets + self._drift.at(elapsed) + tremor
        return Piece(self._record(offsets + tremor, speeds), motion)

    def _wanted(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the intended pose at these times of the cue, shape (times, 10)."""
        if not self._seen:
            return np.zeros((len(times), len(JOINT_NAMES)))
        known = np.array([time for time, _ in self._seen])
        poses = np.array([pose for _, pose in self._seen])
        columns = [np.interp(times, known, column) for column in poses.T]
        return np.stack(columns, axis=1) * self._size

    def _record(
        self, offsets: NDArray[np.float64], speeds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        config = self._config
        moment = (HOLDING_DRIVE * offsets + MOVING_DRIVE * speeds) / FLEXION
        net = moment_shares() @ moment.T
        drive = np.maximum(net, 0) + config.co_contraction * np.maximum(-net, 0)
        drive = (config.resting_tone + drive) * self._effort[:, None]
        count = round(len(offsets) * self._electrodes.rate / CONTROL_RATE)
        places = (np.arange(count) + 0.5) * len(offsets) / count - 0.5
        ticks = np.arange(len(offsets))
        activity = np.stack([np.interp(places, ticks, row) for row in np.clip(drive, 0, 1)])
        return np.ascontiguousarray(self._electrodes.record(activity).T, dtype=np.float32)

    def _begin(self) -> None:
        self._away, self._farthest = True, 0.0
        self._reaction = self._draw_reaction()
        self._size = 1 + SIZE_SPREAD * self._normal(len(JOINT_NAMES))
        spread = self._config.effort_variability
        self._effort = np.exp(spread * self._normal(len(MUSCLES)))

    def _draw_reaction(self) -> float:
        drawn = REACTION + REACTION_SPREAD * float(self._draw.standard_normal())
        return min(max(drawn, REACTION_RANGE[0]), REACTION_RANGE[1])

    def _normal(self, count: int) -> NDArray[np.float64]:
        return np.clip(self._draw.standard_normal(count), -2, 2)


class _Waves:
    """Sinusoids of random frequency and phase, defined at any time."""

    def __init__(self, draw: np.random.Generator, band: tuple[float, float], rms: float) -> None:
        shape = (WAVES, len(JOINT_NAMES))
        self._frequency = draw.uniform(*band, shape)
        self._phase = draw.uniform(0, 2 * np.pi, shape)
        self._scale = rms * np.sqrt(2 / WAVES)

    def at(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return their sum, shape (times, 10)."""
        angle = 2 * np.pi * times[:, None, None] * self._frequency + self._phase
        total: NDArray[np.float64] = self._scale * np.sin(angle).sum(axis=1)
        return total
