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

"""MediaPipe's real detector on pictures of our hand model with known angles."""

import inspect
from itertools import count
from pathlib import Path
import subprocess
import sys

from hand_pictures import make_model, picture_of
from leconvmn_ros.core.errors import ConfigurationError, SourceError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.hands import landmark_worker
from leconvmn_ros.hands.hand_detector import HandDetector
from leconvmn_ros.hands.landmarks import calibrate_landmarks
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


@pytest.fixture(scope='module')
def detector(model):
    """Makes one detector for each setting, because loading the library takes seconds."""
    made = {}

    def make(side, *, mirrored=False):
        if (side, mirrored) not in made:
            made[side, mirrored] = HandDetector(model, side, mirrored=mirrored)
        return made[side, mirrored]

    yield make
    for one in made.values():
        one.close()


NOTHING = np.full((480, 640, 3), 190, np.uint8)
FRAMES = count()


def see(detector, picture, times=3):
    """Show an empty picture, then a picture for some frames; return the last sight."""
    for shown in [NOTHING, *[picture] * times]:
        sight = detector.look(shown, next(FRAMES) / 30)
    return sight


@pytest.mark.parametrize('side', SIDES)
def test_a_hand_that_closes_is_seen_to_close(detector, side):
    eye = detector(side)
    angles, raw = np.linspace(0, 1.2, 6), []
    for angle in angles:
        sight = see(eye, picture_of(bent(angle), side, turn=45, palm=False), times=1)
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
    sight = see(detector('right'), NOTHING)
    assert sight.angles is None
    assert sight.reason == 'no hand is seen'


def test_two_hands_of_the_side_are_one_too_many(detector):
    one = picture_of(bent(0.2), 'right', size=(480, 480))
    sight = see(detector('right'), np.hstack([one, one]), times=6)
    assert sight.angles is None
    assert sight.reason == '2 right hands are seen'


def test_a_picture_that_is_not_later_is_looked_at(detector):
    eye, picture = detector('right'), picture_of(bent(0.7), 'right', turn=45, palm=False)
    assert see(eye, picture).angles is not None
    assert eye.look(picture, 0.0).angles is not None
    assert eye.look(picture, 0.0).angles is not None


def test_a_model_that_is_not_there_says_where_to_get_it(tmp_path):
    with pytest.raises(ConfigurationError, match=r'download hand_landmarker\.task'):
        HandDetector(tmp_path / 'none.task', 'right')
    (tmp_path / 'wrong.task').write_bytes(b'no model' * 100)
    with pytest.raises(ConfigurationError, match='is not a model of hand landmarks'):
        HandDetector(tmp_path / 'wrong.task', 'right')


def test_an_old_library_that_names_the_sides_otherwise_is_refused(monkeypatch):
    monkeypatch.setattr(mediapipe, '__version__', '0.10.21')
    with pytest.raises(ConfigurationError, match=r'0\.10\.21 names the sides'):
        landmark_worker._load('none.task')


def test_a_detector_that_was_killed_is_told(model):
    eye = HandDetector(model, 'right')
    eye._worker._process.kill()
    eye._worker._process.wait()
    with pytest.raises(SourceError, match='the detector of hands has ended'):
        eye.look(NOTHING, 0.0)
    eye.close()


def test_the_library_cannot_open_a_socket():
    # It reports to its maker otherwise; the whole child is filtered before it is imported.
    code = (
        'import socket, sys, threading\n'
        'from leconvmn_ros.hands.no_network import forbid_network\n'
        'socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()\n'
        'forbid_network()\n'
        'def attempt(family):\n'
        '    try:\n'
        '        socket.socket(family, socket.SOCK_DGRAM)\n'
        '        print("open", family)\n'
        '    except PermissionError:\n'
        '        print("refused")\n'
        'families = [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX]\n'
        'threads = [threading.Thread(target=attempt, args=(f,)) for f in families]\n'
        '[(t.start(), t.join()) for t in threads]\n'
        'try:\n'
        '    socket.getaddrinfo("localhost.invalid", 80)\n'
        'except OSError:\n'
        '    print("no look-up")\n'
    )
    child = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=False
    )
    assert child.stdout.splitlines() == ['refused'] * 3 + ['no look-up'], child.stderr


def test_the_worker_is_filtered_before_it_imports_the_library(detector):
    eye = detector('right')
    status = Path(f'/proc/{eye._worker._process.pid}/status').read_text()
    assert 'Seccomp:\t2' in status
    assert 'NoNewPrivs:\t1' in status
    source = inspect.getsource(landmark_worker._serve)
    assert source.index('forbid_network()') < source.index('_load(')
