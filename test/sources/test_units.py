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

"""Units of devices are converted to volts."""

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.sources.units import volts_per
import pytest


@pytest.mark.parametrize(
    ('unit', 'volts'),
    [
        *((unit, 1.0) for unit in ('V', 'volts', 'Volt', '107', '0', 'FIFF_UNIT_V')),
        *((unit, 1e-3) for unit in ('mV', 'millivolts', '-3')),
        *((unit, 1e-6) for unit in ('uV', '\u00b5V', '\u03bcV', 'UV', ' microvolts ', '-6')),
        *((unit, 1e-9) for unit in ('nV', '-9')),
    ],
)
def test_a_known_unit_is_so_many_volts(unit, volts):
    assert volts_per(unit) == volts


@pytest.mark.parametrize('unit', ['', ' ', 'counts', 'a.u.', 'MV', 'mm', 'V/m', '-5', 'Tesla'])
def test_an_unknown_unit_is_refused_with_what_to_do(unit):
    with pytest.raises(ConfigurationError, match='scale'):
        volts_per(unit)
