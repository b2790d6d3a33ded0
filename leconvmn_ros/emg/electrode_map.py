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

"""One affine map of the features in front of the network: adaptation to electrodes that moved."""

from leconvmn_ros.core.strict_model import StrictModel
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

_Row = tuple[float, ...]


class ElectrodeMap(StrictModel):
    """Turns standardised features of electrodes as they sit now into those of the training.

    mapped = matrix @ features + offset, the features being standardised by the training.
    """

    matrix: tuple[_Row, ...] = Field(min_length=1, max_length=256)
    offset: _Row
    usual: _Row = Field(
        description='mean of the features as the electrodes sit now; a masked channel gets it'
    )

    @model_validator(mode='after')
    def _square(self) -> 'ElectrodeMap':
        channels = len(self.matrix)
        lengths = {len(row) for row in (*self.matrix, self.offset, self.usual)}
        if lengths != {channels}:
            raise ValueError(f'rows of {sorted(lengths)} values in a map of {channels} channels')
        return self

    def apply(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return mapped features, shape (samples, channels) as before."""
        mapped: NDArray[np.float64] = features @ np.array(self.matrix).T + np.array(self.offset)
        return mapped

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.matrix)
