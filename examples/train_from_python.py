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
"""Train a decoder from Python and score it on held-out repetitions.

`python train_from_python.py BAG CHECKPOINT` trains the preset `small` on a bag.
"""

from pathlib import Path
import sys

from leconvmn_ros.decoding import Decoder
from leconvmn_ros.evaluation import compare, decode_recording
from leconvmn_ros.recordings import read_bag
from leconvmn_ros.training import PRESETS, train


def main(bag: Path, place: Path, epochs: int | None = None) -> float:
    """Train, save, score; return the mean correlation of the ten joints."""
    recording = read_bag(bag)
    settings = PRESETS['small']
    if epochs is not None:
        settings = settings.changed('fit', epochs=epochs)
    checkpoint = train([recording], settings, on_epoch=lambda report: print(report.text()))
    checkpoint.save(place)

    estimates = decode_recording(Decoder(checkpoint), recording)
    hold_out = checkpoint.description.training.hold_out
    assert recording.reference is not None  # noqa: S101 - train refuses a bag without
    comparison = compare(
        estimates, recording.reference, recording.labels, recording.span_ns, hold_out
    )
    mean = comparison.score().mean
    print(f'{hold_out.rule()}: CC {mean.cc:.3f}, RMSE {mean.rmse:.1f} degrees')
    return mean.cc


if __name__ == '__main__':
    main(Path(sys.argv[1]), Path(sys.argv[2]))
