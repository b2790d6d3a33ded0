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

"""The picture of a result, and its time axis."""

from leconvmn_ros.core.errors import OutputError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.dataset.reference_lag import ReferenceLag
from leconvmn_ros.evaluation.comparison import Comparison
from leconvmn_ros.evaluation.plots import _scored_time, plot_comparison, plot_lag
from matplotlib.image import imread
import numpy as np
import pytest

SECOND = 1_000_000_000


def make_comparison(joints, seconds=12.0, start_ns=10**18):
    stamps_ns = start_ns + (np.arange(0, seconds, 0.02) * SECOND).astype(np.int64)
    truth = np.sin(stamps_ns[:, None] / SECOND + np.arange(joints))
    names = tuple((JOINT_NAMES * 2)[:joints])
    return Comparison(stamps_ns, names, truth, 0.9 * truth)


@pytest.mark.parametrize('joints', [1, 3, 10, 20])
def test_plot_is_a_picture_of_sensible_size(tmp_path, joints):
    plot_comparison(make_comparison(joints), tmp_path / 'new' / 'plot.png', 'test')
    picture = imread(tmp_path / 'new' / 'plot.png')
    height, width = picture.shape[:2]
    assert 1000 <= width <= 1600
    assert 200 <= height <= 2000
    # Both lines are there, in their colours.
    for colour in ((0x55, 0x55, 0x55), (0xD1, 0x49, 0x5B)):
        near = np.abs(picture[..., :3] - np.array(colour) / 255).max(axis=-1) < 0.02
        assert near.sum() > 100 * joints
    assert [p.name for p in (tmp_path / 'new').iterdir()] == ['plot.png']


def test_hour_long_and_single_and_undefined_results_are_drawn(tmp_path):
    plot_comparison(make_comparison(2, seconds=3600), tmp_path / 'long.png', 'long')
    one = make_comparison(2)
    plot_comparison(
        Comparison(one.stamps_ns[:1], one.names, one.truth[:1], one.estimate[:1]),
        tmp_path / 'one.png',
        'one',
    )
    nan = one._replace(estimate=np.full_like(one.truth, np.nan))
    plot_comparison(nan, tmp_path / 'nan.png', 'nan')
    for name in ('long', 'one', 'nan'):
        assert imread(tmp_path / f'{name}.png').size > 10_000


def test_dollars_in_names_are_no_mathematics(tmp_path):
    strange = make_comparison(2)._replace(names=(r'a$\b$', '$'))
    plot_comparison(strange, tmp_path / 'a.png', r'cost $\nothing$ {')


@pytest.mark.parametrize('place', ['file/plot.png', 'folder'])
def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path, place):
    (tmp_path / 'file').write_text('')
    (tmp_path / 'folder').mkdir()
    with pytest.raises(OutputError, match='cannot write'):
        plot_comparison(make_comparison(1), tmp_path / place, '')


def test_holes_are_cut_out_of_the_time_axis():
    stamps_ns = np.array([10.0, 10.1, 10.2, 30, 30.1, 31]) * SECOND
    time, cuts = _scored_time(stamps_ns.astype(np.int64))
    np.testing.assert_allclose(time, [0, 0.1, 0.2, 0.2, 0.3, 0.3])
    np.testing.assert_allclose(cuts, [0.2, 0.3])


def test_a_second_recording_from_the_same_time_comes_behind_the_first():
    one = np.array([0, 10, 20, 30], dtype=np.int64) * SECOND // 100
    time, cuts = _scored_time(np.concatenate((one, one)))
    np.testing.assert_allclose(time, [0, 0.1, 0.2, 0.3, 0.3, 0.4, 0.5, 0.6])
    np.testing.assert_allclose(cuts, [0.3])


@pytest.mark.parametrize('doubt', ['', 'why not'])
def test_lag_is_drawn_with_its_curve(tmp_path, doubt):
    lags = np.linspace(-1, 1, 101)
    cc = np.where(lags < -0.8, np.nan, -((lags - 0.3) ** 2))
    lag = ReferenceLag(lags, cc, ('a',), 0.3, 0.01, doubt)
    plot_lag(lag, tmp_path / 'lag.png', r'a $\b$')
    picture = imread(tmp_path / 'lag.png')
    for colour in ((0x55, 0x55, 0x55), (0xD1, 0x49, 0x5B), (0xEE, 0xEE, 0xEE)):
        near = np.abs(picture[..., :3] - np.array(colour) / 255).max(axis=-1) < 0.02
        assert near.sum() > 100
