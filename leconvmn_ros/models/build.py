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

"""The models there are: LE-ConvMN, its rivals, and how one is made from its configuration."""

from typing import Annotated

from leconvmn_ros.models.base import Model
from leconvmn_ros.models.le_convmn import LeConvMn, LeConvMnConfig
from leconvmn_ros.models.lstm import Lstm, LstmConfig
from leconvmn_ros.models.ridge import Ridge, RidgeConfig
from leconvmn_ros.models.spgp import Spgp, SpgpConfig
from pydantic import Field

ModelConfig = Annotated[
    LeConvMnConfig | LstmConfig | SpgpConfig | RidgeConfig, Field(discriminator='kind')
]


def build_model(
    config: LeConvMnConfig | LstmConfig | SpgpConfig | RidgeConfig,
    image_size: tuple[int, int],
    joints: int,
) -> Model:
    """Make an untrained model for images of (channels, columns).

    Raises:
        ValueError: the configuration does not fit such images, or asks for too much memory.
    """
    match config:
        case LeConvMnConfig():
            return LeConvMn(config, image_size, joints)
        case LstmConfig():
            return Lstm(config, image_size, joints)
        case SpgpConfig():
            return Spgp(config, image_size, joints)
        case RidgeConfig():
            return Ridge(config, image_size, joints)
