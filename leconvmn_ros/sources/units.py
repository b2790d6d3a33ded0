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

"""The units of samples that devices state."""

from leconvmn_ros.core.errors import ConfigurationError

# In lower case. The numbers are FIFF codes as written by MNE-LSL: 107 is the volt, the others are
# powers of ten of it.
_VOLTS = {
    1.0: ('v', 'volt', 'volts', 'fiff_unit_v', '107', '0'),
    1e-3: ('mv', 'millivolt', 'millivolts', '-3'),
    # Unicode has two characters that look like a mu.
    1e-6: ('uv', '\u00b5v', '\u03bcv', 'microvolt', 'microvolts', 'micro volt', '-6'),
    1e-9: ('nv', 'nanovolt', 'nanovolts', '-9'),
}
_BY_NAME = {name: volts for volts, names in _VOLTS.items() for name in names}


def volts_per(unit: str) -> float:
    """Return the volts per unit.

    Raises:
        ConfigurationError: the unit is empty, unknown, or counts of a converter.
    """
    volts = _BY_NAME.get(unit.strip().lower())
    if volts is None or unit.strip() == 'MV':  # milli, micro or mega
        said = f'its unit is {unit!r}' if unit.strip() else 'nothing of its unit'
        raise ConfigurationError(
            f'the device says {said}; allowed are V, mV, uV, nV, and their names. Give the '
            'parameter scale: volts for one of what it sends'
        )
    return volts
