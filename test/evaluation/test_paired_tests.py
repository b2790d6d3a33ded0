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

"""Paired tests against enumeration, closed testing and figures worked out by hand."""

from itertools import combinations, product

from leconvmn_ros.evaluation.paired_tests import (
    compare_methods,
    holm,
    LEVEL,
    rank_biserial,
    subjects_needed,
    wilcoxon_p,
)
import numpy as np
import pytest
from scipy.stats import rankdata, t


def enumerated_p(differences):
    """Return the two-sided p of W+ over all sign patterns, one by one."""
    d = np.array([value for value in differences if value != 0])
    ranks = rankdata(np.abs(d))
    seen = ranks[d > 0].sum()
    sums = np.array([np.dot(signs, ranks) for signs in product((0, 1), repeat=len(d))])
    return min(1.0, 2 * min(np.mean(sums >= seen - 1e-9), np.mean(sums <= seen + 1e-9)))


@pytest.mark.parametrize(
    'differences',
    [
        [1.0],
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
        [-0.1, 0.2, 0.3, -0.4, 0.5, 0.6, 0.7],
        [1, 1, 1, 1, 1, 1],  # nothing but ties
        [1, -1, 2, 2, -3, 4, 4, 5],
        [0, 0, 1, 2, 3, -4, 5, 6],  # zeros do not count
        [0, 1, 1, -2, 2, 3],
        [1, -1],
    ],
)
def test_wilcoxon_is_the_share_of_sign_patterns(differences):
    d = np.array(differences, dtype=float)
    assert wilcoxon_p(d) == pytest.approx(enumerated_p(d))
    assert wilcoxon_p(-d) == pytest.approx(wilcoxon_p(d))


def test_wilcoxon_of_many_subjects_with_ties_is_near_its_exact_p():
    d = np.array([1.0, 1, -1, 2, 2, -2, 3, 3, -3, 4, 4, -4, 5, 5, -5, 6, 6, 7, 7, 8])
    counts = np.zeros(int(2 * rankdata(np.abs(d)).sum()) + 1)  # sign patterns by twice W+
    counts[0] = 1
    for twice in (2 * rankdata(np.abs(d))).astype(int):
        counts[twice:] += counts[:-twice].copy()
    seen = int(2 * rankdata(np.abs(d))[d > 0].sum())
    assert wilcoxon_p(d) == pytest.approx(2 * counts[seen:].sum() / 2.0 ** len(d), rel=0.1)


def test_no_difference_has_no_p_and_no_effect():
    assert wilcoxon_p(np.zeros(9)) is None
    assert rank_biserial(np.zeros(9)) is None


@pytest.mark.parametrize(
    ('differences', 'expected'),
    [
        ([1, -2, 3, 4], 0.6),  # W+ = 1 + 3 + 4, W- = 2
        ([1, 1, -1, 2], 0.6),  # ranks 2, 2, 2, 4: W+ = 8, W- = 2
        ([0, -1, -2], -1.0),
        ([0, 3, -3], 0.0),
        ([5], 1.0),
    ],
)
def test_rank_biserial_by_hand(differences, expected):
    assert rank_biserial(np.array(differences, dtype=float)) == pytest.approx(expected)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
    # What is not defined is no comparison.
    assert holm([None, 0.02, None, 0.01]) == [None, 0.02, None, 0.02]


def test_holm_is_bonferroni_over_all_intersections():
    random = np.random.default_rng(3)
    for _ in range(30):
        p = random.uniform(0, 0.5, 5) ** 2
        closed = [
            max(
                min(1.0, size * min(p[list(subset)]))
                for size in range(1, 6)
                for subset in combinations(range(5), size)
                if i in subset
            )
            for i in range(5)
        ]
        assert holm(p.tolist()) == pytest.approx(closed)


@pytest.mark.parametrize('comparisons', [1, 2, 5, 20])
def test_a_wilcoxon_test_is_made_from_where_it_can_tell_something(comparisons):
    needed = subjects_needed(comparisons)
    for n in (needed - 1, needed):
        reference = {f's{i}': 0.5 + 0.01 * i for i in range(n)}
        others = {
            f'm{k}': {s: value - 0.1 * (i + 1) for i, (s, value) in enumerate(reference.items())}
            for k in range(comparisons)
        }
        tests = compare_methods(reference, others)
        assert len(tests) == comparisons
        for test in tests.values():
            if n < needed:
                assert test.wilcoxon_p is test.wilcoxon_p_holm is None
                assert f'with {n} subjects' in test.remark
                assert f'{needed} subjects are needed' in test.remark
            else:
                assert test.wilcoxon_p_holm < LEVEL
                assert test.remark == ''


def test_six_subjects_are_needed_for_one_comparison_and_seven_for_two():
    assert [subjects_needed(m) for m in (1, 2)] == [6, 7]


def test_a_comparison_by_hand():
    reference = {'a': 0.5, 'b': 0.75, 'c': 0.625, 'only here': 0.1}
    other = {'c': 0.5, 'b': 0.5, 'a': 0.625, 'only there': 0.2}
    test = compare_methods(reference, {'other': other})['other']
    d = np.array([-0.125, 0.25, 0.125])
    assert (test.n, test.above, test.below) == (3, 2, 1)
    assert test.difference == pytest.approx(0.25 / 3)
    sd = np.sqrt(np.sum((d - d.mean()) ** 2) / 2)
    assert test.difference_sd == pytest.approx(sd)
    assert test.d_z == pytest.approx(d.mean() / sd)
    assert test.t_p == pytest.approx(2 * t.sf(abs(d.mean() / (sd / np.sqrt(3))), 2))
    assert test.t_p_holm == test.t_p
    assert test.rank_biserial == pytest.approx((3 + 1.5 - 1.5) / 6)


def test_each_family_is_corrected_over_its_comparisons():
    random = np.random.default_rng(0)
    subjects = [f's{i}' for i in range(10)]
    reference = dict(zip(subjects, random.normal(0.8, 0.05, 10), strict=True))
    others = {
        name: {s: value - shift + random.normal(0, 0.02) for s, value in reference.items()}
        for name, shift in (('near', 0.005), ('far', 0.05), ('middle', 0.02))
    }
    tests = compare_methods(reference, others)
    for kind in ('wilcoxon_p', 't_p'):
        raw = [getattr(test, kind) for test in tests.values()]
        corrected = [getattr(test, f'{kind}_holm') for test in tests.values()]
        assert corrected == holm(raw)
        assert any(one > other for one, other in zip(corrected, raw, strict=True))


def test_methods_that_do_the_same_cannot_be_told_apart():
    figures = {f's{i}': 0.1 * i for i in range(8)}
    test = compare_methods(figures, {'twin': figures})['twin']
    assert test.wilcoxon_p is test.t_p is test.d_z is test.rank_biserial is None
    assert '0 of them with a difference' in test.remark
    assert 'all differences are equal' in test.remark
    assert (test.above, test.below, test.difference) == (0, 0, 0.0)


@pytest.mark.parametrize('n', [0, 1])
def test_next_to_no_subjects(n):
    figures = {f's{i}': 0.5 for i in range(n)}
    test = compare_methods(figures, {'o': dict.fromkeys(figures, 0.4)})['o']
    assert test.n == n
    assert test.t_p is test.wilcoxon_p is test.difference_sd is None
    assert 'fewer than 2 subjects' in test.remark
