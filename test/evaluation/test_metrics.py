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

"""Scores against SciPy, against their formulas, and where they are not defined."""

from math import isnan, sqrt

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from leconvmn_ros.evaluation.metrics import METRICS, Score, score_joint, score_table
import numpy as np
import pytest
from scipy.stats import pearsonr

angles = st.floats(-4, 4, width=32)


def noise(count, seed):
    return np.random.default_rng(seed).normal(0, 1, count)


def as_tuple(score):
    return tuple(getattr(score, metric) for metric in METRICS)


def test_example_by_hand():
    score = score_joint(np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 1.0, 2.0, 4.0]))
    # Errors -1, 0, 0, -1; spreads of the truth -1.5, -0.5, 0.5, 1.5, of the estimate -1, -1, 0, 2.
    assert score.rmse == pytest.approx(sqrt(0.5))
    assert score.nrmse == pytest.approx(sqrt(0.5) / 3)
    assert score.mae == pytest.approx(0.5)
    assert score.r2 == pytest.approx(1 - 2 / 5)
    assert score.cc == pytest.approx(5 / sqrt(5 * 6))
    assert score.reason == ''


@pytest.mark.parametrize('offset', [0.0, 100.0, -1e6])
def test_cc_is_that_of_scipy(offset):
    truth = noise(1000, 1) + offset
    estimate = 0.5 * truth + noise(1000, 2)
    expected = pearsonr(truth, estimate).statistic
    assert score_joint(truth, estimate).cc == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(angles, angles), min_size=2, max_size=30))
def test_figures_follow_their_formulas(pairs):
    truth, estimate = np.array(pairs, dtype=np.float64).T
    assume(min(np.ptp(truth), np.ptp(estimate)) > 1e-3)
    score = score_joint(truth, estimate)
    n = len(pairs)
    squares = sum((y - e) ** 2 for y, e in pairs)
    mean = sum(truth) / n
    assert score.rmse == pytest.approx(sqrt(squares / n))
    assert score.nrmse == pytest.approx(score.rmse / (max(truth) - min(truth)))
    assert score.mae == pytest.approx(sum(abs(y - e) for y, e in pairs) / n)
    assert score.r2 == pytest.approx(1 - squares / sum((y - mean) ** 2 for y in truth))
    assert score.cc == pytest.approx(np.corrcoef(truth, estimate)[0, 1], abs=1e-9)
    assert -1 <= score.cc <= 1
    assert score.reason == ''


@settings(deadline=None, max_examples=50)
@given(
    st.floats(0.01, 100),
    st.floats(-100, 100),
    st.sampled_from([1.0, -1.0]),
)
def test_cc_does_not_see_gain_and_offset_but_their_sign(gain, offset, sign):
    truth, estimate = noise(50, 1), noise(50, 2)
    plain = score_joint(truth, estimate).cc
    assert score_joint(truth, sign * gain * estimate + offset).cc == pytest.approx(sign * plain)


def test_perfect_estimate():
    truth = noise(100, 1)
    assert as_tuple(score_joint(truth, truth.copy())) == pytest.approx((1, 0, 0, 1, 0))
    assert score_joint(truth, -truth).cc == pytest.approx(-1)


def test_mean_of_the_truth_as_estimate_has_r2_of_zero():
    truth = noise(100, 1)
    score = score_joint(truth, np.full(100, truth.mean()))
    assert score.r2 == pytest.approx(0, abs=1e-12)
    assert isnan(score.cc)


def test_roles_of_truth_and_estimate_differ():
    truth, estimate = noise(100, 1), 3 * noise(100, 2)
    one, other = score_joint(truth, estimate), score_joint(estimate, truth)
    assert one.rmse == other.rmse
    assert one.nrmse == pytest.approx(one.rmse / np.ptp(truth))
    assert one.nrmse > other.nrmse
    assert one.r2 < other.r2


def test_single_precision_is_scored_in_double():
    truth, estimate = noise(100, 1).astype(np.float32), noise(100, 2).astype(np.float32)
    wide = score_joint(truth.astype(np.float64), estimate.astype(np.float64))
    assert as_tuple(score_joint(truth, estimate)) == as_tuple(wide)


# ---- not defined


@pytest.mark.parametrize('count', [0, 1])
def test_too_short_signals_are_not_scored(count):
    score = score_joint(np.ones(count), np.zeros(count))
    assert all(isnan(figure) for figure in as_tuple(score))
    assert score.reason == f'{count} estimates; at least 2 are needed'


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('which', ['truth', 'estimate'])
def test_angles_that_are_not_finite_are_not_scored(bad, which):
    signals = {'truth': noise(10, 1), 'estimate': noise(10, 2)}
    signals[which][3] = bad
    score = score_joint(**signals)
    assert all(isnan(figure) for figure in as_tuple(score))
    assert score.reason == 'an angle is not finite'


@pytest.mark.parametrize('value', [0.0, 0.1, -1 / 3, 1e-9, 57.29577951308232])
@pytest.mark.parametrize('count', [2, 10, 9999])
def test_constant_truth_leaves_rmse_and_mae(value, count):
    score = score_joint(np.full(count, value), np.full(count, value) + np.arange(count) % 2)
    assert isnan(score.cc)
    assert isnan(score.nrmse)
    assert isnan(score.r2)
    share = (count // 2) / count
    assert score.rmse == pytest.approx(sqrt(share))
    assert score.mae == pytest.approx(share)
    assert 'true angle is constant' in score.reason


@pytest.mark.parametrize('value', [0.0, 0.1, -1 / 3, 57.29577951308232])
@pytest.mark.parametrize('count', [2, 10, 9999])
def test_constant_estimate_leaves_all_but_cc(value, count):
    truth = value + np.arange(count) % 2
    score = score_joint(truth, np.full(count, value))
    assert isnan(score.cc)
    share = (count // 2) / count
    assert score.rmse == pytest.approx(sqrt(share))
    assert score.nrmse == pytest.approx(sqrt(share))
    assert score.mae == pytest.approx(share)
    assert score.r2 == pytest.approx(1 - share / (share - share**2))
    assert 'estimate is constant' in score.reason


def test_small_movement_of_a_far_angle_is_not_constant():
    for truth in (1000 + 1e-6 * noise(100, 1), 1e-9 * noise(100, 1)):
        assert score_joint(truth, truth).cc == pytest.approx(1)


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('scale', [1e-310, 1e-200, 1e-160, 1e-100])
def test_a_figure_is_never_nan_without_a_reason_however_small_the_angles(scale):
    score = score_joint(scale * noise(10, 1), scale * noise(10, 2))
    assert bool(score.reason) == any(isnan(figure) for figure in as_tuple(score))


@pytest.mark.parametrize(
    ('truth', 'estimate'),
    [((10,), (9,)), ((10,), (1,)), ((10, 1), (10, 1)), ((), ())],
)
def test_shapes_that_do_not_match_are_refused(truth, estimate):
    with pytest.raises(ValueError, match='both must be'):
        score_joint(np.zeros(truth), np.zeros(estimate))


# ---- tables


def test_table_scores_each_column_and_takes_the_mean():
    truth, estimate = noise(300, 1).reshape(100, 3), noise(300, 2).reshape(100, 3)
    table = score_table(('a', 'b', 'c'), truth, estimate)
    assert list(table.joints) == ['a', 'b', 'c']
    for column, name in enumerate(table.joints):
        assert table.joints[name] == score_joint(truth[:, column], estimate[:, column])
    for metric in METRICS:
        expected = np.mean([getattr(score, metric) for score in table.joints.values()])
        assert getattr(table.mean, metric) == pytest.approx(expected)
    assert table.mean.reason == ''
    assert table.count == 100


def test_mean_leaves_out_what_is_not_defined_and_says_so():
    truth, estimate = noise(300, 1).reshape(100, 3), noise(300, 2).reshape(100, 3)
    truth[:, 1] = 0.25
    estimate[:, 2] = 1.0
    table = score_table(('a', 'b', 'c'), truth, estimate)
    a, b, c = table.joints.values()
    assert table.mean.cc == a.cc
    assert table.mean.nrmse == pytest.approx((a.nrmse + c.nrmse) / 2)
    assert table.mean.r2 == pytest.approx((a.r2 + c.r2) / 2)
    assert table.mean.rmse == pytest.approx((a.rmse + b.rmse + c.rmse) / 3)
    assert table.mean.mae == pytest.approx((a.mae + b.mae + c.mae) / 3)
    assert table.mean.reason == 'cc without b, c; nrmse without b; r2 without b'


def test_mean_of_nothing_defined_is_nan_with_a_reason():
    table = score_table(('a', 'b'), np.zeros((1, 2)), np.zeros((1, 2)))
    assert all(isnan(figure) for figure in as_tuple(table.mean))
    assert table.mean.reason == '; '.join(f'{metric} without a, b' for metric in METRICS)
    assert table.count == 1


@pytest.mark.parametrize(
    ('names', 'truth', 'estimate'),
    [('ab', (5, 3), (5, 3)), ('abcd', (5, 3), (5, 3)), ('abc', (5, 3), (4, 3)), ('a', (5,), (5,))],
)
def test_table_of_names_that_do_not_fit_is_refused(names, truth, estimate):
    with pytest.raises(ValueError, match=f'one column for each of.*{names[0]}'):
        score_table(tuple(names), np.zeros(truth), np.zeros(estimate))


def test_score_has_no_reason_unless_given():
    assert Score(1.0, 0.0, 0.0, 1.0, 0.0).reason == ''
