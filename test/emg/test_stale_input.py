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

"""Stale input is detected, and the time of its source extrapolated."""

from leconvmn_ros.emg.stale_input import StaleInput
import pytest


def test_nothing_is_stale_before_the_first_emg():
    stale = StaleInput(0.2)
    assert not stale.became_stale(100.0)
    assert stale.silent_for(100.0) is None
    assert not stale.stale


def test_input_is_stale_once_after_the_timeout():
    stale = StaleInput(0.25)
    stale.heard(10.0, 5_000)
    looks = [stale.became_stale(now) for now in (10.0, 10.25, 10.26, 10.5, 99.0)]
    assert looks == [False, False, True, False, False]
    assert stale.stale
    assert stale.interruptions == 1
    assert stale.silent_for(11.0) == 1.0


def test_input_that_comes_again_says_how_long_it_was_away():
    stale = StaleInput(0.25)
    assert stale.heard(10.0, 0) is None
    assert stale.heard(10.2, 0) is None
    stale.became_stale(10.5)
    assert stale.heard(11.2, 0) == pytest.approx(1.0)
    assert not stale.stale
    assert stale.became_stale(11.5)
    assert stale.interruptions == 2


def test_no_timeout_is_never_stale():
    stale = StaleInput(0)
    stale.heard(10.0, 0)
    assert not stale.became_stale(1e9)


def test_time_at_the_source_goes_on():
    stale = StaleInput(0.2)
    stale.heard(10.0, 7_000_000_000)
    assert stale.source_time_ns(10.0) == 7_000_000_000
    assert stale.source_time_ns(12.5) == 9_500_000_000
