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

"""User settings of channels, rings, scale and rate."""

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.sources.contract import SourceDescription
from leconvmn_ros.sources.settings import (
    choose_columns,
    choose_volts,
    describe,
    parse_channels,
    parse_offset,
    parse_rings,
    SignalSettings,
)
import pytest

DEVICE = SourceDescription(
    'band', tuple('abcdefgh'), 200.0, 'uV', rings=(tuple(range(8)),), arm='right'
)


@pytest.mark.parametrize(
    ('text', 'channels'),
    [
        ('', ()),
        ('3', (3,)),
        ('0-3', (0, 1, 2, 3)),
        ('3..0', (3, 2, 1, 0)),
        ('7, 0-2 5', (7, 0, 1, 2, 5)),
    ],
)
def test_channels_are_read(text, channels):
    assert parse_channels(text) == channels


@pytest.mark.parametrize(
    ('text', 'rings'),
    [
        ('', ()),
        ('0-3', ((0, 1, 2, 3),)),
        ('0-1; 3-2', ((0, 1), (3, 2))),
        ('[[0..1], [2..3]]', ((0, 1), (2, 3))),
        ('[[0, 1, 2],[3]]', ((0, 1, 2), (3,))),
    ],
)
def test_rings_are_read(text, rings):
    assert parse_rings(text) == rings


@pytest.mark.parametrize(
    ('text', 'offset'), [('', ()), ('0.5', (0.5,)), ('[0.5, -1]', (0.5, -1.0))]
)
def test_offsets_are_read(text, offset):
    assert parse_offset(text) == offset


@pytest.mark.parametrize('text', ['x', '0-', '-1', '1.5', '0-99999', '0-2000', '1--2'])
def test_what_is_no_channel_is_refused(text):
    with pytest.raises(ConfigurationError):
        parse_channels(text)
    with pytest.raises(ConfigurationError):
        parse_rings(text)


def test_the_order_of_channels_moves_the_ring_of_the_device():
    described = describe('test', DEVICE, SignalSettings(channels=(7, 6, 5, 4, 3, 2, 1, 0)))
    assert described.channels == tuple('hgfedcba')
    assert described.rings == ((7, 6, 5, 4, 3, 2, 1, 0),)
    assert described.arm == 'right'


def test_a_ring_of_which_channels_are_left_out_is_unknown():
    assert describe('test', DEVICE, SignalSettings(channels=(0, 1))).rings == ()


def test_what_the_user_says_comes_before_what_the_device_says():
    settings = SignalSettings(rings=((0, 1), (2, 3)), offset=(0.5,), arm='left', sampling_rate=199)
    described = describe('test', DEVICE, settings)
    assert described.rings == ((0, 1), (2, 3))
    assert described.offset == (0.5,)
    assert described.arm == 'left'
    assert described.sampling_rate == 199


@pytest.mark.parametrize(
    ('settings', 'complaint'),
    [
        ({'channels': (8,)}, 'there is no channel 8: band has channels 0 to 7'),
        ({'channels': (1, 1)}, 'a channel is named twice'),
        ({'rings': ((0, 8),)}, 'a ring names channel 8'),
        ({'offset': (1.0, 2.0)}, '2 offsets for 1 rings'),
    ],
)
def test_what_does_not_fit_the_device_is_refused(settings, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        describe('test', DEVICE, SignalSettings(**settings))


def test_columns_are_those_of_the_channels():
    assert choose_columns(DEVICE, SignalSettings(channels=(3, 0))).tolist() == [3, 0]
    assert choose_columns(DEVICE, SignalSettings()).tolist() == list(range(8))


@pytest.mark.parametrize(
    ('scale', 'unit', 'volts', 'expected'),
    [
        (0.0, 'uV', None, 1e-6),
        (0.0, 'counts', 1e-5, 1e-5),
        (2e-6, 'counts', None, 2e-6),
        (2e-6, 'counts', 1e-5, 2e-6),
        (0.0, 'counts', None, None),
    ],
)
def test_volts_come_from_the_user_the_source_or_the_unit(scale, unit, volts, expected):
    device = DEVICE._replace(unit=unit, volts=volts)
    if expected is None:
        with pytest.raises(ConfigurationError, match='scale'):
            choose_volts(device, SignalSettings(scale=scale))
    else:
        assert choose_volts(device, SignalSettings(scale=scale)) == expected


def test_names_that_a_stranger_chose_fit_a_log():
    device = DEVICE._replace(device='band\n[FATAL] forged', channels=('a\x1b[2J' + 'x' * 500,) * 8)
    described = describe('test', device, SignalSettings())
    assert described.device == 'band?[FATAL] forged'
    assert described.channels[0].startswith('a?[2Jxxx')
    assert len(described.channels[0]) == 200
