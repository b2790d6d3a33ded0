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

"""MediaPipe's real detector on pictures of our hand model, of which every angle is known."""

from hand_pictures import make_model, picture_of
from leconvmn_ros.errors import ConfigurationError
from leconvmn_ros.hands.hand_detector import HandDetector
from leconvmn_ros.hands.landmarks import calibrate_landmarks
from leconvmn_ros.joints import JOINT_NAMES
import numpy as np
import pytest

mediapipe = pytest.importorskip('mediapipe', reason='MediaPipe is not installed')
SIDES = ('right', 'left')


def bent(angle):
    return {name: angle if name.endswith('pip') else angle / 2 for name in JOINT_NAMES}


@pytest.fixture(scope='module')
def model(request):
    made = make_model(request.config.cache.mkdir('hand_landmarker'))
    if made is None:
        pytest.skip('the wheel with the networks of the hand landmarker cannot be had')
    return made


@pytest.fixture
def detector(model):
    """Makes detectors, which are closed after the test."""
    made = []

    def make(side, **options):
        made.append(HandDetector(model, side, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def see(detector, picture, times=3):
    """Show a picture for some frames, as a camera would; return what was seen last."""
    for frame in range(times):
        sight = detector.look(picture, frame / 30)
    return sight


@pytest.mark.parametrize('side', SIDES)
def test_a_hand_that_closes_is_seen_to_close(detector, side):
    eye = detector(side)
    angles, raw = np.linspace(0, 1.2, 6), []
    for frame, angle in enumerate(angles):
        sight = eye.look(picture_of(bent(angle), side, turn=45, palm=False), frame / 30)
        assert sight.angles is not None, sight.reason
        raw.append(sight.angles)
    seen = calibrate_landmarks([raw[0]] * 5).apply(np.array(raw))
    pips = seen[:, 3::2].mean(axis=1)
    assert np.all(np.diff(pips) > 0)
    assert np.corrcoef(pips, angles)[0, 1] > 0.9
    assert np.degrees(np.abs(pips - angles)).mean() < 20


@pytest.mark.parametrize('side', SIDES)
def test_a_hand_of_the_other_side_is_not_seen(detector, side):
    other = SIDES[1 - SIDES.index(side)]
    picture = picture_of(bent(0.7), side, turn=45, palm=False)
    assert see(detector(side), picture).angles is not None
    sight = see(detector(other), picture)
    assert sight.angles is None
    assert sight.reason == f'no hand is a {other} one for certain'


def test_a_mirrored_picture_is_turned_back(detector):
    picture = picture_of(bent(0.7), 'right', turn=45, palm=False)
    mirrored = picture[:, ::-1]
    plain = see(detector('right'), picture)
    turned = see(detector('right', mirrored=True), mirrored)
    np.testing.assert_allclose(plain.angles, turned.angles, atol=1e-6)
    assert see(detector('right'), mirrored).angles is None


def test_without_a_hand_there_are_no_angles(detector):
    sight = see(detector('right'), np.full((480, 640, 3), 190, np.uint8))
    assert sight.angles is None
    assert sight.reason == 'no hand is seen'


def test_two_hands_of_the_side_are_one_too_many(detector):
    one = picture_of(bent(0.2), 'right', size=(480, 480))
    sight = see(detector('right'), np.hstack([one, one]), times=6)
    assert sight.angles is None
    assert sight.reason == '2 right hands are seen'


def test_a_picture_that_is_not_later_is_looked_at(detector):
    eye, picture = detector('right'), picture_of(bent(0.3), 'right')
    assert eye.look(picture, 5.0).angles is not None
    assert eye.look(picture, 5.0).angles is not None
    assert eye.look(picture, 1.0).angles is not None


def test_a_model_that_is_not_there_says_where_to_get_it(tmp_path):
    with pytest.raises(ConfigurationError, match=r'download hand_landmarker\.task'):
        HandDetector(tmp_path / 'none.task', 'right')
    (tmp_path / 'wrong.task').write_bytes(b'no model' * 100)
    with pytest.raises(ConfigurationError, match='is no model of hand landmarks'):
        HandDetector(tmp_path / 'wrong.task', 'right')


def test_an_old_library_that_names_the_sides_otherwise_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(mediapipe, '__version__', '0.10.21')
    with pytest.raises(ConfigurationError, match=r'0\.10\.21 names the sides'):
        HandDetector(tmp_path / 'none.task', 'right')
