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

"""The findings of an adaptation, in sentences for people."""

from leconvmn_ros.adaptation.unlabelled import Adaptation, turn_words
import numpy as np


def sentences(adaptation: Adaptation) -> list[str]:
    """Describe the position of the electrodes, its confidence, and the change of the gains."""
    found = adaptation.found
    electrodes = (
        f'electrodes: {turn_words(found)} (confidence {found.confidence:.2f}, '
        f'{found.advantage:.2f} nats per sample ahead, {adaptation.duration:.0f} s of EMG)'
    )
    said = [electrodes]
    if adaptation.dead:
        dead = ', '.join(map(str, adaptation.dead))
        said.append(f'dead electrodes: channel {dead}; they are filled in from the others')
    if adaptation.free:
        said.append(
            'channels: mixed in a way that no turn explains, as when the band slid along the arm'
        )
    if adaptation.fine_tuned:
        said.append('weights: fine-tuned on the prompted movements')
    if not adaptation.matched:
        return [*said, 'gains: no change found since the training']
    shifts = adaptation.shifts
    gains = (
        f'gains: mean features were off by {np.median(np.abs(shifts)):.2f} standard deviations '
        'of the training (median of the channels), at most by '
        f'{shifts[int(np.argmax(np.abs(shifts)))]:+.2f}'
    )
    return [*said, gains]
