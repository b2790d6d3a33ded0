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

"""How much each part of a model counts."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from leconvmn_ros.training.stacking import fit_member_weights
import numpy as np
import pytest


def test_the_combination_that_was_made_is_found():
    rng = np.random.default_rng(0)
    opinions = rng.standard_normal((3, 500, 4)).astype(np.float32)
    made = np.array([0.2, 0.7, 0.1])
    targets = np.tensordot(made, opinions, 1)
    assert fit_member_weights(opinions, targets) == pytest.approx(made, abs=1e-4)


def test_a_part_that_only_does_harm_counts_nothing():
    rng = np.random.default_rng(1)
    targets = rng.standard_normal((500, 4)).astype(np.float32)
    shares = fit_member_weights(np.stack([targets, -targets]), targets)
    assert shares == pytest.approx([1, 0], abs=1e-4)


def test_equally_good_parts_share_alike():
    rng = np.random.default_rng(2)
    targets = rng.standard_normal((20_000, 4)).astype(np.float32)
    noise = rng.standard_normal((2, *targets.shape)).astype(np.float32)
    assert fit_member_weights(targets + noise, targets) == pytest.approx([0.5, 0.5], abs=0.02)


@given(
    arrays(np.float32, (3, 7, 2), elements=st.floats(-100, 100, width=32)),
    arrays(np.float32, (7, 2), elements=st.floats(-100, 100, width=32)),
)
def test_they_are_shares_and_no_worse_than_any_part(opinions, targets):
    shares = fit_member_weights(opinions, targets)
    assert shares.dtype == np.float32
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1, abs=1e-5)

    def error(estimate):
        return float(((estimate - targets) ** 2).sum())

    best = min(error(opinion) for opinion in opinions)
    assert error(np.tensordot(shares, opinions, 1)) <= best + 1e-3 * (1 + best)
