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

"""Paired tests of one method against others over the same subjects.

A subject gives one figure for each method; with d_i the difference of subject i, reference minus
other, n the number of subjects and R_i the rank of |d_i| among the differences that are not 0:

=============  ==========================================================  ====================
W+, W-         sums of R_i over d_i > 0 and over d_i < 0                   Wilcoxon 1945
rank-biserial  (W+ - W-) / (W+ + W-), from -1 to 1                         Kerby 2014
d_z            mean(d) / sd(d), sd with n - 1                              Cohen 1988; Lakens 2013
Holm           max over j <= i of min(1, (m - j + 1) p_(j)), p in order    Holm 1979
=============  ==========================================================  ====================

Wilcoxon, Biometrics Bull. 1, 80; Kerby, Compr. Psychol. 3, 11.IT.3.1; Cohen, Statistical Power
Analysis, 2nd ed.; Lakens, Front. Psychol. 4, 863; Holm, Scand. J. Stat. 6, 65.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from leconvmn_ros.core.strict_model import StrictModel
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import stats

LEVEL: Final = 0.05
# With ties, all sign patterns are enumerated if there are at most this many (up to 16 subjects);
# otherwise this many are drawn.
MOST_SIGN_PATTERNS: Final = 2**16


class PairedTest(StrictModel):
    """A reference compared with another method; undefined figures are None, with a remark."""

    n: int = Field(ge=0, description='subjects with a figure of both methods')
    above: int = Field(ge=0, description='subjects whose figure is greater with the reference')
    below: int = Field(ge=0, description='subjects whose figure is smaller with the reference')
    difference: float | None = Field(description='mean of reference minus other')
    difference_sd: float | None = Field(description='standard deviation of the differences (n-1)')
    wilcoxon_p: float | None = Field(description='two-sided, uncorrected')
    wilcoxon_p_holm: float | None = Field(default=None, description='corrected in its family')
    t_p: float | None = Field(description='paired t-test, two-sided, uncorrected')
    t_p_holm: float | None = Field(default=None, description='corrected in its family')
    rank_biserial: float | None = Field(description='matched pairs, -1 to 1')
    d_z: float | None = Field(description="Cohen's d of the differences")
    remark: str = Field(default='', description='why something is None')


def compare_methods(
    reference: Mapping[str, float], others: Mapping[str, Mapping[str, float]]
) -> dict[str, PairedTest]:
    """Compare a reference with each of the others; p-values are corrected over these comparisons.

    Args:
        reference: figure of each subject.
        others: the same for each other method, by its name.
    """
    tests = {}
    for name, other in others.items():
        both = [subject for subject in reference if subject in other]
        tests[name] = _test(
            np.array([reference[subject] for subject in both]),
            np.array([other[subject] for subject in both]),
            comparisons=len(others),
        )
    corrected = zip(
        holm([test.wilcoxon_p for test in tests.values()]),
        holm([test.t_p for test in tests.values()]),
        strict=True,
    )
    return {
        name: test.model_copy(update={'wilcoxon_p_holm': wilcoxon, 't_p_holm': t})
        for (name, test), (wilcoxon, t) in zip(tests.items(), corrected, strict=True)
    }


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct the p-values of one family by Holm's step-down; undefined ones stay so."""
    defined = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for step, (p, i) in enumerate(defined):
        highest = max(highest, min(1.0, (len(defined) - step) * p))
        corrected[i] = highest
    return corrected


def subjects_needed(comparisons: int, level: float = LEVEL) -> int:
    """Return the least number of subjects with which the Wilcoxon test can be significant.

    Its smallest two-sided p is 2 / 2^n, when all n differences have one sign. The smallest of m
    such p-values is multiplied by m, and no corrected p is smaller (Holm).
    """
    n = 1
    while comparisons * 2.0 ** (1 - n) >= level:
        n += 1
    return n


def rank_biserial(differences: NDArray[np.float64]) -> float | None:
    """Return the matched-pairs rank-biserial correlation (see above), None if all are 0."""
    d = differences[differences != 0]
    if d.size == 0:
        return None
    ranks = stats.rankdata(np.abs(d))
    return float(np.sum(np.sign(d) * ranks) / np.sum(ranks))


def wilcoxon_p(differences: NDArray[np.float64]) -> float | None:
    """Return the two-sided p of the signed-rank test, None if all differences are 0.

    Differences of 0 are left out (Wilcoxon 1945). Without ties the distribution is exact; with
    ties it is that of the sign patterns themselves, see MOST_SIGN_PATTERNS.
    """
    d = differences[differences != 0]
    if d.size == 0:
        return None
    ranks = stats.rankdata(np.abs(d))
    if len(np.unique(ranks)) == len(ranks):
        return float(stats.wilcoxon(d, method='exact').pvalue)
    answer = stats.permutation_test(
        (np.sign(d) * ranks,),
        np.sum,
        permutation_type='samples',
        n_resamples=MOST_SIGN_PATTERNS,
        vectorized=True,
        random_state=0,
    )
    return float(answer.pvalue)


def _test(
    reference: NDArray[np.float64], other: NDArray[np.float64], comparisons: int
) -> PairedTest:
    d = reference - other
    n = len(d)
    sd = float(d.std(ddof=1)) if n > 1 else None
    remarks = []
    needed, used = subjects_needed(comparisons), int(np.count_nonzero(d))
    if used < needed:
        subjects = f'{n} subject{"s"[: n != 1]}'
        if used < n:
            subjects += f' ({used} of them with a difference)'
        remarks.append(
            f'no Wilcoxon test: with {subjects} and {comparisons} '
            f'comparison{"s"[: comparisons != 1]} its p cannot come below {LEVEL:g}; '
            f'{needed} subjects are needed'
        )
    # Differences that are equal up to rounding have no spread to divide by.
    if sd is None or sd <= 1e-12 * float(np.max(np.abs(d))):
        remarks.append(
            'no t-test: ' + ('fewer than 2 subjects' if n < 2 else 'all differences are equal')
        )
        t_p = d_z = None
    else:
        t_p = float(stats.ttest_rel(reference, other).pvalue)
        d_z = float(d.mean()) / sd
    return PairedTest(
        n=n,
        above=int(np.sum(d > 0)),
        below=int(np.sum(d < 0)),
        difference=float(d.mean()) if n else None,
        difference_sd=sd,
        wilcoxon_p=None if used < needed else wilcoxon_p(d),
        t_p=t_p,
        rank_biserial=rank_biserial(d),
        d_z=d_z,
        remark='; '.join(remarks),
    )
