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

"""What a model learns from: led in, standardised by what is learnt, without the test part."""

from dataclasses import replace

from builders import emg_of, HOLD_OUT, JOINTS, make_recording, PERIOD_NS, START_NS, with_emg
from leconvmn_ros.core.errors import ConfigurationError, RecordingError
from leconvmn_ros.core.recording import JointTrack
from leconvmn_ros.dataset.hold_out import BlockHoldOut, RepetitionHoldOut, Role
from leconvmn_ros.emg.signal_path import ExposureConfig, FeatureStatistics, SignalPath
from leconvmn_ros.training.data import gather
import numpy as np
import pytest

EXPOSURE = ExposureConfig()
BLOCKS = BlockHoldOut(validation=0.2, test=0.2)


def changed_where(recording, role, hold_out=HOLD_OUT):
    """Return the recording with other EMG and angles where it plays a role."""
    emg = emg_of(recording)
    stamps_ns = START_NS + PERIOD_NS * np.arange(len(emg))
    emg[hold_out.roles(stamps_ns, recording.labels, recording.span_ns) == role] = 0.3
    track = recording.reference
    positions = track.positions.copy()
    of_track = hold_out.roles(track.stamps_ns, recording.labels, recording.span_ns)
    positions[of_track == role] = 5
    return replace(
        with_emg(recording, emg), reference=JointTrack(track.stamps_ns, track.names, positions)
    )


def assert_same(one, other):
    assert one.signal_path == other.signal_path
    assert one.statistics == other.statistics
    assert one.joints == other.joints
    for some, others in ((one.training, other.training), (one.validation, other.validation)):
        assert len(some) == len(others)
        for stretch, same in zip(some, others, strict=True):
            np.testing.assert_array_equal(stretch.features, same.features)
            np.testing.assert_array_equal(stretch.targets, same.targets)
            assert stretch.context == same.context


@pytest.mark.parametrize('hold_out', [HOLD_OUT, BLOCKS])
@pytest.mark.parametrize('learn_validation', [False, True])
def test_nothing_of_the_test_part_is_in_it(hold_out, learn_validation):
    recording = make_recording(repetition_length=201)
    one, other = (
        gather([each], EXPOSURE, hold_out, learn_validation=learn_validation)
        for each in (recording, changed_where(recording, Role.TEST, hold_out))
    )
    assert_same(one, other)
    assert one.training
    assert bool(one.validation) != learn_validation


def test_statistics_and_limits_are_of_what_is_learnt():
    recording = make_recording()
    # What leads into the validation part is training data, but the part itself changes nothing.
    other = changed_where(recording, Role.VALIDATION)
    one, same = (gather([each], EXPOSURE, HOLD_OUT) for each in (recording, other))
    assert (one.statistics, one.joints) == (same.statistics, same.joints)
    assert one.validation[0].features.max() < same.validation[0].features.max()
    # Until it is learnt, too.
    both = gather([other], EXPOSURE, HOLD_OUT, learn_validation=True)
    assert both.validation == []
    assert [joint.upper for joint in both.joints] == [5] * len(JOINTS)
    assert all(joint.upper < 2 for joint in one.joints)
    assert min(both.statistics.mean) > max(one.statistics.mean)


@pytest.mark.parametrize('learn_validation', [False, True])
def test_numbers_are_those_of_the_plain_formula(learn_validation):
    recording = make_recording()
    data = gather([recording], EXPOSURE, HOLD_OUT, learn_validation=learn_validation)
    emg = emg_of(recording)
    # Next to a border a sample has no angle: the reference measures every other one.
    spans = [(0, 399), (600, 999)] if learn_validation else [(0, 199), (600, 999)]
    features = [SignalPath(data.signal_path).push(emg[slice(*span)]) for span in spans]
    angles = [recording.reference.positions[first // 2 : last // 2 + 1] for first, last in spans]
    assert data.statistics == FeatureStatistics.of(np.concatenate(features))
    seen = np.concatenate(angles)
    assert [joint.name for joint in data.joints] == list(JOINTS)
    for j, joint in enumerate(data.joints):
        assert (joint.lower, joint.upper) == (seen[:, j].min(), seen[:, j].max())
        assert joint.mean == pytest.approx(seen[:, j].mean(), abs=0.01)
        assert joint.scale == pytest.approx(seen[:, j].std(), rel=0.01)
    mean, scale = (np.array([getattr(j, key) for j in data.joints]) for key in ('mean', 'scale'))
    assert len(data.training) == len(spans)
    for stretch, feature, angle in zip(data.training, features, angles, strict=True):
        assert stretch.context == 0
        expected = (feature - data.statistics.mean) / np.array(data.statistics.scale)
        np.testing.assert_allclose(stretch.features, expected, atol=1e-4)
        np.testing.assert_allclose(stretch.targets[::2] * scale + mean, angle, atol=1e-6)


def test_the_validation_part_is_led_in():
    recording = make_recording()
    data = gather([recording], EXPOSURE, HOLD_OUT)
    (stretch,) = data.validation
    assert stretch.context == 200
    assert len(stretch.features) == len(stretch.targets) == 399
    # The features never reset at the border.
    expected = SignalPath(data.signal_path, data.statistics).push(emg_of(recording)[:399])
    np.testing.assert_array_equal(stretch.features, expected)
    mean, scale = (np.array([getattr(j, key) for j in data.joints]) for key in ('mean', 'scale'))
    np.testing.assert_allclose(
        stretch.targets[200::2] * scale + mean, recording.reference.positions[100:200], atol=1e-6
    )
    assert np.isfinite(stretch.targets).all()


def test_the_validation_part_is_never_led_in_by_test_data():
    recording = make_recording()
    hold_out = RepetitionHoldOut(validation=(3,), test=(2,))
    (stretch,) = gather([recording], EXPOSURE, hold_out).validation
    assert stretch.context == 0
    assert len(stretch.features) == 199


def test_each_recording_is_led_in_by_itself():
    one, other = make_recording(seed=0), make_recording(seed=1)
    data = gather([one, other], EXPOSURE, RepetitionHoldOut(validation=(1,), test=(3,)))
    assert [stretch.context for stretch in data.validation] == [0, 0]
    assert len(data.training) == 4


@pytest.mark.parametrize('learn_validation', [False, True])
def test_exposure_that_does_not_fit_is_one_clear_error(learn_validation):
    with pytest.raises(ConfigurationError, match=r'3 channels at 100 Hz: exposure of 0\.001 s'):
        gather(
            [make_recording()],
            ExposureConfig(exposure=0.001),
            HOLD_OUT,
            learn_validation=learn_validation,
        )


def test_without_validation_data_there_is_no_first_pass():
    recording = make_recording()
    track = recording.reference
    unmeasured = JointTrack(
        np.delete(track.stamps_ns, np.s_[100:200]),
        track.names,
        np.delete(track.positions, np.s_[100:200], axis=0),
    )
    lacking = replace(recording, reference=unmeasured)
    with pytest.raises(RecordingError, match=r'2 stretches .* and 0 to choose the epoch'):
        gather([lacking], EXPOSURE, HOLD_OUT)
    assert len(gather([lacking], EXPOSURE, HOLD_OUT, learn_validation=True).training) == 2


def test_statistics_of_their_own_are_of_each_recording_s_training_part():
    quiet = make_recording(seed=1, name='another day')
    loud = with_emg(quiet, 30 * emg_of(quiet))
    recordings = [make_recording(), loud]
    data = gather(recordings, EXPOSURE, HOLD_OUT)
    own = {id(stretch.own): stretch.own for stretch in data.training}
    assert len(own) == 2
    first, second = own.values()
    # Louder than the mean of both, and the other way round.
    assert (first[0] < 0).all()
    assert (second[0] > 0).all()
    same = gather([changed_where(r, Role.TEST) for r in recordings], EXPOSURE, HOLD_OUT)
    for one, other in zip(data.training, same.training, strict=True):
        np.testing.assert_array_equal(one.own[0], other.own[0])
    assert gather(recordings[:1], EXPOSURE, HOLD_OUT).training[0].own is None
