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

"""The order of the channels around the forearm, from a description or from the user."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

from leconvmn_ros.adaptation.turns import Rings
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.emg.description import EmgDescription


def described_rings(description: EmgDescription | None, channels: int) -> Rings:
    """Return the rings that a description names; none if it is of other electrodes."""
    if description is None or len(description.channels) != channels:
        return ()
    return description.rings


def consecutive_rings(sizes: Sequence[int], channels: int) -> Rings:
    """Return rings of the given sizes, in the order of the channels.

    Raises:
        ConfigurationError: the sizes do not add up to the number of channels.
    """
    if sum(sizes) != channels:
        raise ConfigurationError(
            f'rings of {", ".join(map(str, sizes))} electrodes are {sum(sizes)} electrodes; the '
            f'decoder has {channels}'
        )
    edges = accumulate(sizes, initial=0)
    return tuple(tuple(range(first, end)) for first, end in pairwise(edges))
