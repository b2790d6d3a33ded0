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

"""How the Ninapro databases store a recording.

Atzori et al., Electromyography data for non-invasive naturally-controlled robotic hand prostheses,
Sci. Data 1 (2014) 140053 (DB1 to DB3); Pizzolato et al., Comparison of six electromyography
acquisition setups on hand movement classification tasks, PLoS ONE 12 (2017) e0186132 (DB5);
Krasoulis et al., Improved prosthetic hand control with concurrent use of myoelectric and
inertial measurements, J. NeuroEng. Rehabil. 14 (2017) 71 (DB7); Krasoulis et al., Effect of user
practice on prosthetic finger control with an intuitive myoelectric decoder, Front. Neurosci. 13
(2019) 891 (DB8); Jarque-Bou et al., A large calibrated database of hand movements and grasps
kinematics, Sci. Data 7 (2020) 12 (DB9: calibrated angles of DB1, DB2 and DB5, without EMG).
"""

from typing import Final, Literal, NamedTuple

Database = Literal['DB1', 'DB2', 'DB3', 'DB5', 'DB7', 'DB8']

# Columns of the CyberGlove II by its number of sensors, counted from 0, in the order of
# JOINT_NAMES: MCP and IP of the thumb, then MCP and PIP of index, middle, ring and little finger.
# The glove of 18 sensors lacks those of the last finger joints (6, 9, 13, 17 of the 22).
GLOVE_COLUMNS: Final = {
    22: (1, 2, 4, 5, 7, 8, 11, 12, 15, 16),
    18: (1, 2, 4, 5, 6, 7, 9, 10, 12, 13),
}

# The Myo armband gives signed 8-bit counts, whose size in volts was never published. With 10 uV,
# full scale is 1.28 mV, a plausible amplitude of surface EMG. A model only fits recordings
# converted with the same constant, so each recording stores it.
VOLTS_PER_MYO_COUNT: Final = 1e-5

_UNCALIBRATED = 'rad (nominal: the glove is not calibrated, 1 glove unit is taken as 1 degree)'


class Layout(NamedTuple):
    """How one database stores a recording.

    Attributes:
        channels: possible numbers of EMG channels.
        sensors: number of sensors of the glove.
        sampling_rate: samples per second of every array (Hz).
        emg_kind: 'raw', or 'envelope' if the amplifier already delivered the RMS.
        emg_unit: unit of the EMG after conversion.
        emg_source_unit: unit of the EMG in the file.
        volts_per_source_unit: factor between the two.
        joint_unit: unit of the angles after conversion from degrees.
        citation: publication to cite.
    """

    channels: tuple[int, ...]
    sensors: int
    sampling_rate: float
    emg_kind: str
    emg_unit: str
    emg_source_unit: str
    volts_per_source_unit: float
    joint_unit: str
    citation: str


_ATZORI = 'Atzori et al., Sci. Data 1 (2014) 140053'
_PIZZOLATO = 'Pizzolato et al., PLoS ONE 12 (2017) e0186132'

LAYOUTS: Final[dict[Database, Layout]] = {
    'DB1': Layout(
        channels=(10,),
        sensors=22,
        sampling_rate=100.0,
        emg_kind='envelope',
        emg_unit='V',
        emg_source_unit='V',
        volts_per_source_unit=1.0,
        joint_unit=_UNCALIBRATED,
        citation=_ATZORI,
    ),
    'DB2': Layout(
        channels=(12,),
        sensors=22,
        sampling_rate=2000.0,
        emg_kind='raw',
        emg_unit='V',
        emg_source_unit='V',
        volts_per_source_unit=1.0,
        joint_unit=_UNCALIBRATED,
        citation=_ATZORI,
    ),
    # Amputees; subjects 7 and 8 have ten electrodes.
    'DB3': Layout(
        channels=(10, 12),
        sensors=22,
        sampling_rate=2000.0,
        emg_kind='raw',
        emg_unit='V',
        emg_source_unit='V',
        volts_per_source_unit=1.0,
        joint_unit=_UNCALIBRATED,
        citation=_ATZORI,
    ),
    'DB5': Layout(
        channels=(16,),
        sensors=22,
        sampling_rate=200.0,
        emg_kind='raw',
        emg_unit=f'V (nominal: uncalibrated, 1 count is taken as {VOLTS_PER_MYO_COUNT} V)',
        emg_source_unit='count',
        volts_per_source_unit=VOLTS_PER_MYO_COUNT,
        joint_unit='rad',
        citation=_PIZZOLATO,
    ),
    'DB7': Layout(
        channels=(12,),
        sensors=18,
        sampling_rate=2000.0,
        emg_kind='raw',
        emg_unit='V',
        emg_source_unit='V',
        volts_per_source_unit=1.0,
        joint_unit=_UNCALIBRATED,
        citation='Krasoulis et al., J. NeuroEng. Rehabil. 14 (2017) 71',
    ),
    'DB8': Layout(
        channels=(16,),
        sensors=18,
        sampling_rate=2000.0,
        emg_kind='raw',
        emg_unit='V',
        emg_source_unit='V',
        volts_per_source_unit=1.0,
        joint_unit=_UNCALIBRATED,
        citation='Krasoulis et al., Front. Neurosci. 13 (2019) 891',
    ),
}


class Electrodes(NamedTuple):
    """The electrode positions of a database; the fields of `EmgDescription`."""

    rings: tuple[tuple[int, ...], ...]
    offset: tuple[float, ...] = ()


_BAND = tuple(range(8))
# By database and channels. Eight electrodes at the height of the radio-humeral joint come first;
# the others of DB1 to DB3 and DB7 sit on single muscles. DB5: two Myo armbands, the second nearer
# to the wrist and turned by half an electrode (22.5 degrees). Other positions are unknown.
ELECTRODES: Final[dict[tuple[Database, int], Electrodes]] = {
    ('DB1', 10): Electrodes((_BAND,)),
    ('DB2', 12): Electrodes((_BAND,)),
    ('DB3', 12): Electrodes((_BAND,)),
    ('DB5', 16): Electrodes((_BAND, tuple(range(8, 16))), (0.5,)),
    ('DB7', 12): Electrodes((_BAND,)),
}
