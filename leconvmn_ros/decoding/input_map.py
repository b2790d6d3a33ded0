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

"""The map of the electrodes between features and network, while decoding.

It is the map of the checkpoint, or one that is adopted while the decoder runs and blended in over
a second, so that the network never sees a jump. Ten times a second, a sample of the mapped
features is compared with the training (`signal_fit.py`), and slow drift is followed if requested
(`drift.py`).
"""

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.decoding.checkpoint import Description
from leconvmn_ros.decoding.density import Density
from leconvmn_ros.decoding.drift import DriftFollower, LEAST_FOLLOWED
from leconvmn_ros.decoding.signal_fit import COMPARED_RATE, SignalFit
from leconvmn_ros.emg.electrode_map import ElectrodeMap
import numpy as np
from numpy.typing import NDArray

BLEND = 1.0  # s
# Number of samples compared at a time, since single ones cost more.
_BATCH = 10


class _Affine:
    """A map of features, with the features of a masked channel."""

    def __init__(self, channels: int, electrode_map: ElectrodeMap | None) -> None:
        known = electrode_map
        self.matrix = np.eye(channels) if known is None else np.array(known.matrix)
        self.offset = np.zeros(channels) if known is None else np.array(known.offset)
        self.usual = np.zeros(channels) if known is None else np.array(known.usual)

    def towards(self, other: '_Affine', share: float) -> '_Affine':
        between = _Affine(len(self.offset), None)
        for name in ('matrix', 'offset', 'usual'):
            old, new = getattr(self, name), getattr(other, name)
            setattr(between, name, old + share * (new - old))
        return between


class InputMap:
    """Maps images for the network, compares features with the training, follows drift.

    Attributes:
        fit: how well the mapped features fit the training.
        drift: the drift that is followed; None unless requested.
        usual: features of a masked channel before the map, shape (channels,); modified in
            place.
        electrode_map: the map in use, None for none.
    """

    def __init__(
        self, description: Description, images_per_second: float, *, follow_drift: bool = False
    ) -> None:
        """Prepare for a decoder.

        Args:
            description: description of the decoder.
            images_per_second: images of all streams per second (Hz).
            follow_drift: whether to follow slow drift.

        Raises:
            ConfigurationError: drift cannot be followed with this checkpoint.
        """
        path, mixture = description.signal_path, description.mixture
        self._channels = path.channels
        self._step = max(1, round(path.sampling_rate / COMPARED_RATE))
        self._lead_in = path.window_length
        self._images_of_blend = max(1.0, BLEND * images_per_second)
        self.fit = SignalFit(mixture)
        self._density = Density(mixture) if mixture is not None and self.fit.known else None
        self.drift: DriftFollower | None = None
        if follow_drift:
            if mixture is None or mixture.usual is None or self._density is None:
                raise ConfigurationError(
                    'drift cannot be followed: the checkpoint has no usual fit of its EMG. It '
                    'was trained before version 0.2.0, on bags without movement labels, or with '
                    'only one repetition; train it again'
                )
            if not path.companding:
                raise ConfigurationError(
                    'drift cannot be followed: the features are not compressed by the mu-law '
                    '(companding), so a gain is no offset'
                )
            self.drift = DriftFollower(mixture, mixture.usual)
        self.usual = np.zeros(self._channels)
        self._waiting: list[NDArray[np.float32]] = []
        self.adopt(description.electrode_map, at_once=True)
        self.reset()

    def adopt(self, electrode_map: ElectrodeMap | None, *, at_once: bool = False) -> None:
        """Use another map from now on, and reset the drift, which belongs to the old one.

        Args:
            electrode_map: map for the present electrode positions; None for that of training.
            at_once: switch without blending, while there is no output.
        """
        goal = _Affine(self._channels, electrode_map)
        self._start = goal if at_once else self._now()
        self._goal = goal
        self._blended = 1.0 if at_once else 0.0
        self.electrode_map = electrode_map
        self._forget()
        self._use()

    def reset(self) -> None:
        """Expect a new source: reset drift and fit."""
        self._blended = 1.0
        self._forget()
        self._use()
        self.interrupt()

    def interrupt(self) -> None:
        """Note a gap: the first features after it have an incomplete window."""
        self._until = self._lead_in + self._step - 1

    @property
    def why_drift_is_frozen(self) -> str:
        """Why drift is not followed at the moment, in words; empty if it is."""
        if self.fit.score is None:
            return 'too little movement yet'
        return '' if self.fit.score >= LEAST_FOLLOWED else 'the EMG does not fit the training'

    def watch(self, features: NDArray[np.float32], whole: NDArray[np.bool_]) -> None:
        """Take the next features, and compare some of them.

        Args:
            features: features before the map, shape (samples, channels).
            whole: whether no channel is masked and the sample is reliable, shape (samples,).
        """
        if self._density is None:
            return
        for at in range(self._until, len(features), self._step):
            if whole[at] and self._blended >= 1.0:
                self._waiting.append(features[at].copy())
            if len(self._waiting) == _BATCH:
                self._compare(self._density, np.array(self._waiting, dtype=np.float64))
                self._waiting = []
        skipped = max(0, -(-(len(features) - self._until) // self._step))
        self._until += skipped * self._step - len(features)

    def apply(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the next image, mapped; shape (channels, columns) as before."""
        if self._blended < 1.0:
            self._blended = min(1.0, self._blended + 1 / self._images_of_blend)
            self._use()
        if self._idle:
            return pixels
        mapped: NDArray[np.float64] = self._matrix @ pixels + self._offset[:, None]
        return mapped.astype(np.float32)

    def _forget(self) -> None:
        self.fit.reset()
        if self.drift is not None:
            self.drift.reset()
        self._waiting = []

    def _compare(self, density: Density, rows: NDArray[np.float64]) -> None:
        mapped = rows @ self._goal.matrix.T + self._goal.offset
        drift = self.drift
        logs = density.jointly(mapped if drift is None else mapped + drift.offset)
        self.fit.add(logs)
        if drift is not None and not self.why_drift_is_frozen:
            drift.learn(mapped, logs)
            self._use()

    def _now(self) -> _Affine:
        now = self._start.towards(self._goal, self._blended)
        if self.drift is not None:
            now.offset = now.offset + self.drift.offset
        return now

    def _use(self) -> None:
        now = self._now()
        self._matrix, self._offset = now.matrix, now.offset
        self.usual[:] = now.usual
        self._idle = (
            self.electrode_map is None
            and self._blended >= 1.0
            and (self.drift is None or not self.drift.offset.any())
        )
