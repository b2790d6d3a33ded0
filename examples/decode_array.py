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
"""Decode a NumPy array of EMG, step by step as in a notebook.

`python decode_array.py CHECKPOINT` decodes two seconds of noise.
"""

# %% Load a decoder. This needs neither ROS nor PyTorch.
import sys

from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.decoding import Decoder, load_checkpoint
import numpy as np

decoder = Decoder(load_checkpoint(sys.argv[1]), output_rate=50.0)
print(f'{decoder.channels} channels at {decoder.sampling_rate:g} Hz')

# %% EMG in volts, shape (samples, channels). Here it is noise.
seconds = 2
size = (round(seconds * decoder.sampling_rate), decoder.channels)
emg = np.random.default_rng(0).normal(0, 20e-6, size).astype(np.float32)

# %% Decode it in one go. Live, pass one chunk after another: the result is the same.
estimates = decoder.decode(EmgChunk(0, decoder.sampling_rate, 0, emg))
times = np.array([estimate.stamp_ns for estimate in estimates]) / 1e9
angles = np.array([estimate.positions for estimate in estimates])

# %% Angles in radians, shape (estimates, joints).
print(f'{len(times)} estimates from {times[0]:.2f} to {times[-1]:.2f} s')
for name, degrees in zip(decoder.joint_names, np.degrees(angles.mean(axis=0)), strict=True):
    print(f'{name:12} {degrees:6.1f} degrees on average')
