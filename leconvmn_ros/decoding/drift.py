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

"""Follows slow drift of each channel, within bounds.

Sweat and drying gel change the conductance of electrodes over minutes. Features are compressed by
the mu-law, so a gain becomes an offset of the feature. An offset of the EMG itself is removed
before (high-pass), or is an offset as well (envelopes). Therefore one offset per channel is
followed.

Each sample of movement is compared with the mean of the training samples that look most like the
same movement. The offset approaches the value that makes both means agree, slowly enough that no
output jumps.

Following the spread of each channel, too, was tried on Ninapro DB5 S1, S3 and DB1 S1, S2, S8: it
cost up to 0.02 CC in an unchanged session and gave nothing when gains drifted.
"""

from leconvmn_ros.decoding.feature_mixture import FeatureMixture, UsualFit
from leconvmn_ros.decoding.signal_fit import COMPARED_RATE, moves, scores_of, WORST
import numpy as np
from numpy.typing import NDArray

# Time constant of the means, in time of movement, and time before the first step (s). Half of this
# memory was worse on the people above; more made no difference.
MEMORY, LEAST_HEARD = 60.0, 30.0
# Standard deviations of the training; a gain of 2 gave 0.2 to 1 on the people above.
MOST_OFFSET = 1.5
# Largest change of the offset per second of movement.
FASTEST = 0.01


# Below this fit (nats per sample, see `SignalFit.score`), movements are recognised too badly. This
# is far below the alarm, which drift may raise while it is followed: on the people above, a band
# turned by one electrode had -10 or less, and gains that drifted by up to 2 had -6 or more.
LEAST_FOLLOWED = -7.5


class DriftFollower:
    """One offset per channel: followed = features + offset.

    Attributes:
        offset: shape (channels,), in standard deviations of the training.
    """

    def __init__(self, mixture: FeatureMixture, usual: UsualFit) -> None:
        """Start with no drift.

        Args:
            mixture: mixture of the training.
            usual: its usual fit.
        """
        self._moves = moves(mixture)
        self._means = np.array(usual.means)
        self._by_movement = np.array(usual.by_movement)
        self.reset()

    def reset(self) -> None:
        """Reset the drift and the means."""
        channels = self._means.shape[1]
        self.offset = np.zeros(channels)
        self._weight = 0.0
        # Of the features, and of their expected values.
        self._sums = np.zeros((2, channels))

    @property
    def at_bound(self) -> NDArray[np.bool_]:
        """Whether the offset of each channel is at its bound, shape (channels,)."""
        result: NDArray[np.bool_] = np.abs(self.offset) >= MOST_OFFSET
        return result

    def learn(self, features: NDArray[np.float64], logs: NDArray[np.float64]) -> None:
        """Take samples, and update the offset if they are of movement.

        Args:
            features: features without the offset, shape (samples, channels).
            logs: `Density.jointly` of the features with the offset, shape (samples, movements).
        """
        scores, nearest = scores_of(logs, self._by_movement)
        # Samples that fit no movement, such as artefacts, are ignored.
        used = self._moves[nearest] & (scores > -WORST)
        count = int(np.count_nonzero(used))
        if not count:
            return
        keep = float(np.exp(-count / (MEMORY * COMPARED_RATE)))
        self._weight = self._weight * keep + count
        self._sums *= keep
        self._sums += [features[used].sum(axis=0), self._means[nearest[used]].sum(axis=0)]
        if self._weight >= LEAST_HEARD * COMPARED_RATE:
            mean, wanted = self._sums / self._weight
            goal = (wanted - mean).clip(-MOST_OFFSET, MOST_OFFSET)
            longest = FASTEST * count / COMPARED_RATE
            self.offset += (goal - self.offset).clip(-longest, longest)
