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

"""Ridge regression from one image to the angles: the baseline that every model must beat.

Source: Hoerl and Kennard, Technometrics 12 (1970) 55.
"""

from leconvmn_ros.models.ridge.config import RidgeConfig
from leconvmn_ros.models.stateless import Stateless
from torch import nn, Tensor


class Ridge(Stateless):
    """A linear map with an intercept."""

    def __init__(self, config: RidgeConfig, image_size: tuple[int, int], joints: int) -> None:
        """Build the map for images of channels x columns.

        Raises:
            ValueError: it would have more than MOST_WEIGHTS weights.
        """
        config.weight_shapes(image_size, joints)  # raises before memory is allocated
        super().__init__(config.input, image_size)
        self.linear = nn.Linear(self.inputs, joints)

    def estimate(self, inputs: Tensor) -> Tensor:
        """Return outputs in standardised units, (..., joints), for inputs (..., inputs)."""
        outputs: Tensor = self.linear(inputs)
        return outputs
