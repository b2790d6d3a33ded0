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

"""The synthetic subject: movements, labels, EMG and their relation."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from leconvmn_ros.core.joints import JOINT_NAMES, JOINTS
from leconvmn_ros.core.recording import SampledSubject
from leconvmn_ros.emg.description import INFORMATION_KEY, parse_description
from leconvmn_ros.synthetic import emg as synthetic_emg
from leconvmn_ros.synthetic import motion as synthetic_hand
from leconvmn_ros.synthetic.config import SyntheticSubjectConfig
from leconvmn_ros.synthetic.subject import label, synthesize
import numpy as np
from pydantic import ValidationError
import pytest
from scipy import signal

LOWER = np.array([joint.lower for joint in JOINTS])
UPPER = np.array([joint.upper for joint in JOINTS])

# Two repetitions of the first movements: enough for what does not need statistics.
SHORT = {'movements': 2, 'repetitions': 2, 'movement_duration': 3.0, 'rest_duration': 1.0}


def short(**changes) -> SampledSubject:
    return synthesize(SyntheticSubjectConfig(**(SHORT | changes)))


@pytest.fixture(scope='module')
def default_subject() -> SampledSubject:
    return synthesize(SyntheticSubjectConfig())


@pytest.fixture(scope='module')
def db2_subject() -> SampledSubject:
    return short(channels=12, sampling_rate=2000.0, hum_amplitude=0.0)


def sliding_rms(emg: np.ndarray, window: int) -> np.ndarray:
    """RMS over the last `window` samples, as the signal path takes it."""
    sums = np.cumsum(np.vstack([np.zeros(emg.shape[1]), np.square(emg, dtype=np.float64)]), axis=0)
    counts = np.minimum(np.arange(1, len(emg) + 1), window)
    first = np.maximum(np.arange(1, len(emg) + 1) - window, 0)
    return np.sqrt(np.maximum(sums[1:] - sums[first], 0) / counts[:, None])


def ridge_correlations(subject: SampledSubject, features: np.ndarray) -> np.ndarray:
    """CC of each joint on repetitions 2 and 5, from a ridge regression on the others."""
    test = np.isin(subject.repetition, (2, 5))
    train = ~test & (subject.repetition > 0)
    scaled = (features - features[train].mean(axis=0)) / features[train].std(axis=0)
    centred = subject.positions - subject.positions[train].mean(axis=0)
    gram = scaled[train].T @ scaled[train] + np.eye(scaled.shape[1])
    estimate = scaled[test] @ np.linalg.solve(gram, scaled[train].T @ centred[train])
    return np.array([
        np.corrcoef(estimate[:, joint], centred[test, joint])[0, 1] for joint in range(len(JOINTS))
    ])  # fmt: skip


@pytest.mark.parametrize(
    ('channels', 'rate', 'kind'),
    [(8, 200.0, 'raw'), (12, 2000.0, 'raw'), (10, 100.0, 'envelope'), (1, 20.0, 'envelope')],
)
def test_arrays_fit_together_at_any_geometry(channels, rate, kind) -> None:
    subject = short(channels=channels, sampling_rate=rate)
    samples = round((1.0 + 4 * 4.0) * rate)
    assert subject.sampling_rate == rate
    assert subject.emg.shape == (samples, channels)
    assert subject.emg.dtype == np.float32
    assert subject.positions.shape == (samples, len(JOINT_NAMES))
    assert subject.positions.dtype == np.float64
    for labels in (subject.movement, subject.repetition):
        assert labels.shape == (samples,)
        assert labels.dtype == np.int64
    assert subject.information['emg_kind'] == kind


def test_information_says_what_it_is(default_subject) -> None:
    information = default_subject.information
    assert information['database'] == 'synthetic'
    assert information['emg_unit'] == 'V'
    assert information['joint_unit'] == 'rad'
    again = SyntheticSubjectConfig.model_validate(json.loads(information['config']))
    assert again == SyntheticSubjectConfig()
    assert all(isinstance(value, str) for value in information.values())


def test_electrodes_are_one_ring(default_subject) -> None:
    electrodes = parse_description(default_subject.information[INFORMATION_KEY])
    assert electrodes.rings == (tuple(range(default_subject.emg.shape[1])),)
    assert electrodes.sampling_rate == default_subject.sampling_rate


def test_labels_follow_the_protocol() -> None:
    subject = short()
    times = np.arange(len(subject.movement)) / subject.sampling_rate
    seen = [
        (subject.movement[index], subject.repetition[index])
        for index in np.searchsorted(times, [0.5, 1.5, 4.5, 5.5, 8.5, 9.5, 13.5, 16.5])
    ]
    assert seen == [(0, 0), (1, 1), (0, 1), (1, 2), (0, 2), (2, 1), (2, 2), (0, 2)]


def test_labels_change_exactly_at_the_cues() -> None:
    config = SyntheticSubjectConfig(**SHORT)
    movement, repetition = label(config, np.array([0.0, 0.999, 1.0, 3.999, 4.0, 4.999, 5.0]))
    assert movement.tolist() == [0, 0, 1, 1, 0, 0, 1]
    assert repetition.tolist() == [0, 0, 1, 1, 1, 1, 2]


def test_motion_lies_within_its_label() -> None:
    subject = short(posture_drift=0.0, tremor=0.0, onset_earliest=0.1)
    assert np.ptp(subject.positions[subject.movement == 0], axis=0).max() < 1e-9
    assert np.ptp(subject.positions, axis=0).max() > 0.5


def test_every_movement_moves_what_its_name_says() -> None:
    still = {'enslaving': 0.0, 'posture_drift': 0.0, 'tremor': 0.0}
    subject = synthesize(SyntheticSubjectConfig(movements=12, repetitions=1, **still))
    rest = subject.positions[0]
    for number, commands in enumerate(synthetic_hand.MOVEMENTS.values(), start=1):
        excursion = subject.positions[subject.movement == number] - rest
        furthest = excursion.max(axis=0) + excursion.min(axis=0)  # one of them is 0
        assert np.array_equal(np.sign(np.round(furthest, 2)), np.sign(np.repeat(commands, 2)))


@pytest.mark.parametrize('seed', range(3))
def test_angles_never_leave_the_limits_even_when_everything_varies_most(seed) -> None:
    subject = short(
        seed=seed,
        movements=12,
        amplitude_variability=0.5,
        posture_drift=0.3,
        tremor=0.05,
        enslaving=1.0,
    )
    assert (subject.positions >= LOWER).all()
    assert (subject.positions <= UPPER).all()
    # The limits were put to the test.
    assert (subject.positions == UPPER).any()
    assert (subject.positions == LOWER).any()


def test_default_angles_are_seldom_at_a_limit(default_subject) -> None:
    positions = default_subject.positions
    assert np.mean((positions <= LOWER) | (positions >= UPPER)) < 0.01


def test_minimum_jerk_starts_and_ends_at_rest() -> None:
    times = np.linspace(-1, 2, 3001)
    path = synthetic_hand.minimum_jerk(times, np.array(0.0), np.array(1.0))
    assert path[0] == 0
    assert path[-1] == 1
    assert path[1500] == pytest.approx(0.5)
    speed = np.gradient(path, times)
    assert speed.max() == pytest.approx(1.875, rel=1e-3)  # Flash and Hogan 1985
    assert np.abs(speed[[999, 1000, 1001, 1999, 2000, 2001]]).max() < 1e-3


def test_fingers_drag_their_neighbours_along() -> None:
    still = {'movements': 4, 'posture_drift': 0.0, 'tremor': 0.0}
    for enslaving, moves in ((0.0, False), (0.5, True)):
        subject = short(enslaving=enslaving, **still)
        ring = subject.positions[subject.movement == 4]
        little = np.ptp(ring[:, JOINT_NAMES.index('little_mcp')])
        assert (little > 0.1) == moves
        assert np.ptp(ring[:, JOINT_NAMES.index('index_mcp')]) <= little


def test_same_seed_same_subject() -> None:
    first, second = short(seed=7), short(seed=7)
    assert np.array_equal(first.emg, second.emg)
    assert np.array_equal(first.positions, second.positions)


def test_seeds_differ() -> None:
    first, second = short(seed=1), short(seed=2)
    assert np.abs(first.positions - second.positions).max() > 0.05
    assert not np.allclose(first.emg.std(axis=0), second.emg.std(axis=0), rtol=0.05)


@pytest.mark.parametrize(
    'change',
    [{'channels': 3}, {'noise_floor': 0.0}, {'hum_amplitude': 1e-4}, {'resting_tone': 0.1}],
)
def test_movements_do_not_depend_on_the_recording(change) -> None:
    assert np.array_equal(short(**change).positions, short().positions)


def test_movements_do_not_depend_on_the_sampling_rate() -> None:
    slow, fast = short(sampling_rate=200.0), short(sampling_rate=2000.0)
    assert np.abs(slow.positions - fast.positions[::10]).max() < 1e-9


def test_blocks_leave_no_seams(monkeypatch) -> None:
    """The noise differs with the block length; levels and spectrum must not."""
    whole = short(sampling_rate=1000.0)
    monkeypatch.setattr(synthetic_emg, 'BLOCK', 100)
    cut = short(sampling_rate=1000.0)
    assert np.array_equal(whole.positions, cut.positions)
    assert np.allclose(whole.emg.std(axis=0), cut.emg.std(axis=0), rtol=0.15)
    # A filter that starts anew every 100 samples leaks power below the band.
    frequency, power = signal.welch(cut.emg, 1000.0, nperseg=1000, axis=0)
    assert power[frequency < 10].sum() < 0.02 * power.sum()


def test_emg_lies_in_its_band(db2_subject) -> None:
    frequency, power = signal.welch(db2_subject.emg, 2000.0, nperseg=2000, axis=0)
    inside = (frequency >= 20) & (frequency <= 450)
    assert (power[inside].sum(axis=0) / power.sum(axis=0)).min() > 0.9
    median = frequency[(np.cumsum(power, axis=0) > power.sum(axis=0) / 2).argmax(axis=0)]
    assert ((median > 50) & (median < 150)).all()  # De Luca et al. 2010


@pytest.mark.parametrize('mains', [50, 60])
@pytest.mark.parametrize('rate', [200.0, 2000.0])
def test_hum_shows_at_the_mains_frequency_when_it_is_on(mains, rate) -> None:
    def peak(amplitude: float) -> float:
        emg = short(
            movements=1,
            sampling_rate=rate,
            hum_frequency=mains,
            hum_amplitude=amplitude,
        ).emg
        frequency, power = signal.welch(emg, rate, nperseg=int(rate), axis=0)
        near = (np.abs(frequency - mains) >= 3) & (np.abs(frequency - mains) <= 8)
        return float((power[frequency == mains] / power[near].mean(axis=0)).min())

    assert peak(0.0) < 3
    assert peak(2e-4) > 10


def test_amplitudes_are_those_of_surface_emg(default_subject) -> None:
    resting = default_subject.emg[default_subject.movement == 0].std(axis=0)
    moving = default_subject.emg[default_subject.movement > 0].std(axis=0)
    assert resting.min() > 2e-6
    assert resting.max() < 1e-4
    assert 1e-4 < moving.max() < 1e-3
    assert (moving > 1.5 * resting).all()
    assert np.abs(default_subject.emg).max() < 5e-3


def test_noise_floor_is_what_is_left_without_muscles() -> None:
    subject = short(
        contraction_amplitude=1e-12, noise_floor=5e-6, hum_amplitude=0.0, sampling_rate=1000.0
    )
    assert subject.emg.std(axis=0) == pytest.approx(np.full(8, 5e-6), rel=0.05)


def test_excitation_leads_the_movement_by_the_delay_and_a_little_more() -> None:
    """Velocity feed-forward and activation dynamics come on top of the electromechanical delay."""

    def lead(delay: float) -> float:
        config = SyntheticSubjectConfig(
            **SHORT, electromechanical_delay=delay, effort_variability=0.0, drive_fluctuation=0.0
        )
        kinematics, effort = np.random.SeedSequence(0).spawn(2)
        active = synthetic_hand.move_fingers(config, kinematics).active
        excitation = synthetic_emg.muscle_excitation(config, active, effort)
        muscle = [muscle.name for muscle in synthetic_emg.MUSCLES].index('FDS index')
        return _lead(excitation[muscle], active[:, JOINT_NAMES.index('index_pip')], 200.0)

    assert 0 < lead(0.0) < 0.16
    assert lead(0.05) - lead(0.0) == pytest.approx(0.05, abs=0.006)
    assert lead(0.2) - lead(0.0) == pytest.approx(0.2, abs=0.006)


def test_emg_leads_the_movement() -> None:
    subject = short(sampling_rate=1000.0, repetitions=4)
    # A centred window, so that the average itself delays nothing.
    total = np.sqrt(np.convolve((subject.emg**2).sum(axis=1), np.ones(51) / 51, mode='same'))
    bend = np.abs(subject.positions - subject.positions[0]).sum(axis=1)
    assert 0.02 < _lead(total, bend, 1000.0) < 0.3


def _lead(cause: np.ndarray, effect: np.ndarray, rate: float) -> float:
    """Delay of `effect` after `cause` (s), by the largest cross-correlation."""
    cause, effect = cause - cause.mean(), effect - effect.mean()
    correlation = signal.correlate(effect, cause, mode='full')
    lags = signal.correlation_lags(len(effect), len(cause), mode='full')
    return float(lags[correlation.argmax()] / rate)


def test_inverse_activation_dynamics_undo_the_forward_ones() -> None:
    """Integrate Thelen's equation over the excitation found and get the activation back."""
    times = np.arange(0, 2, 1 / synthetic_hand.CONTROL_RATE)
    wanted = 0.3 + 0.2 * np.sin(2 * np.pi * times)
    excitation = synthetic_emg.invert_activation(wanted[None], 0.015, 0.05)[0]
    steps = 50
    activation, reached = wanted[0], []
    for moment in np.arange(0, times[-1], 1 / synthetic_hand.CONTROL_RATE / steps):
        reached.append(activation)
        command = np.interp(moment, times, excitation)
        scale = 0.5 + 1.5 * activation
        tau = 0.015 * scale if command > activation else 0.05 / scale
        activation += (command - activation) / tau / synthetic_hand.CONTROL_RATE / steps
    assert np.abs(np.array(reached[::steps]) - wanted[: len(reached[::steps])]).max() < 0.005


def test_crosstalk_falls_with_angle_and_depth() -> None:
    def spread(width: float) -> np.ndarray:
        config = SyntheticSubjectConfig(channels=72, crosstalk_width=width)
        gains = synthetic_emg.crosstalk(config, *np.random.SeedSequence(0).spawn(2))
        return (gains > 0.05 * gains.max(axis=0)).mean(axis=0)

    assert (spread(10.0) < spread(20.0)).all()
    assert (spread(20.0) < spread(40.0)).all()
    gains = synthetic_emg.crosstalk(
        SyntheticSubjectConfig(channels=72), *np.random.SeedSequence(0).spawn(2)
    )
    depth = [muscle.depth for muscle in synthetic_emg.MUSCLES]
    assert np.corrcoef(depth, gains.max(axis=0))[0, 1] < -0.5


@pytest.mark.parametrize('rate', [20.0, 100.0, 150.0])
def test_low_rates_give_an_envelope(rate) -> None:
    subject = short(sampling_rate=rate)
    assert subject.information['emg_kind'] == 'envelope'
    assert (subject.emg >= 0).all()
    assert np.median(subject.emg[subject.movement > 0]) > np.median(
        subject.emg[subject.movement == 0]
    )


def test_envelope_has_the_level_of_the_raw_emg() -> None:
    envelope, raw = short(sampling_rate=100.0), short(sampling_rate=1000.0)
    assert np.sqrt((envelope.emg**2).mean(axis=0)) == pytest.approx(raw.emg.std(axis=0), rel=0.2)


@pytest.mark.parametrize('seed', [0, 1])
def test_a_ridge_regression_learns_it_but_not_perfectly(seed) -> None:
    """The task is a little easier than a real one: an untuned ridge gets 0.74 on Ninapro DB5."""
    subject = synthesize(SyntheticSubjectConfig(seed=seed))
    correlations = ridge_correlations(subject, sliding_rms(subject.emg, 20))
    assert 0.75 < correlations.mean() < 0.9
    assert correlations.min() > 0.55


def test_every_joint_moves_in_the_held_out_repetitions(default_subject) -> None:
    held_out = np.isin(default_subject.repetition, (2, 5))
    assert np.ptp(default_subject.positions[held_out], axis=0).min() > 0.3


def test_repetitions_differ_and_resemble_each_other(default_subject) -> None:
    index = default_subject.positions[:, JOINT_NAMES.index('index_pip')]
    peaks = [
        index[(default_subject.movement == 2) & (default_subject.repetition == repetition)].max()
        for repetition in range(1, 7)
    ]
    assert np.std(peaks) > 0.02
    assert min(peaks) > 0.8


def test_progress_counts_up_to_the_end() -> None:
    calls = []
    config = SyntheticSubjectConfig(**SHORT, sampling_rate=4000.0)
    subject = synthesize(config, progress=lambda done, total: calls.append((done, total)))
    done = [call[0] for call in calls]
    assert len(done) > 1
    assert done == sorted(set(done))
    assert done[-1] == len(subject.emg)
    assert {call[1] for call in calls} == {len(subject.emg)}


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('seed', -1),
        ('channels', 0),
        ('channels', 257),
        ('sampling_rate', 19.0),
        ('sampling_rate', 10001.0),
        ('sampling_rate', float('nan')),
        ('movements', 13),
        ('repetitions', 0),
        ('hum_frequency', 55),
        ('noise_floor', -1e-6),
        ('movement_duration', 2.5),
        ('onset_earliest', 0.75),
        ('transition_shortest', 0.95),
        ('colour', 'blue'),
    ],
)
def test_impossible_settings_are_refused_by_name_and_value(field, value) -> None:
    with pytest.raises(ValidationError) as caught:
        SyntheticSubjectConfig(**{field: value})
    assert field in str(caught.value)
    assert str(value) in str(caught.value)


def test_a_recording_that_fills_the_memory_is_refused() -> None:
    with pytest.raises(ValidationError, match=r'256 channels at 10000 Hz.*at most 500000000'):
        SyntheticSubjectConfig(channels=256, sampling_rate=10_000)


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError):
        SyntheticSubjectConfig().seed = 1


def test_every_setting_is_explained() -> None:
    for name, field in SyntheticSubjectConfig.model_fields.items():
        assert field.description, name
        if field.annotation is float:
            assert '(' in field.description, f'{name} has no unit'


@settings(max_examples=40, deadline=None)
@given(
    st.builds(
        SyntheticSubjectConfig,
        seed=st.integers(0, 2**32 - 1),
        movements=st.integers(1, 3),
        repetitions=st.integers(1, 2),
        movement_duration=st.floats(2.8, 4.0),
        rest_duration=st.floats(0.2, 1.0),
        channels=st.integers(1, 16),
        sampling_rate=st.floats(20.0, 1000.0),
        amplitude_variability=st.floats(0.0, 0.5),
        effort_variability=st.floats(0.0, 1.0),
        enslaving=st.floats(0.0, 1.0),
        posture_drift=st.floats(0.0, 0.3),
        tremor=st.floats(0.0, 0.05),
        electromechanical_delay=st.floats(0.0, 0.2),
        crosstalk_width=st.floats(1.0, 180.0),
        noise_floor=st.floats(0.0, 1e-3),
        hum_amplitude=st.floats(0.0, 0.01),
        envelope_time=st.floats(0.001, 1.0),
    )
)
def test_any_small_subject_is_sound(config) -> None:
    subject = synthesize(config)
    assert subject.emg.shape == (config.samples, config.channels)
    assert np.isfinite(subject.emg).all()
    assert np.isfinite(subject.positions).all()
    assert (subject.positions >= LOWER).all()
    assert (subject.positions <= UPPER).all()
    assert set(np.unique(subject.movement)) <= set(range(config.movements + 1))
    assert subject.repetition.max() == config.repetitions
    if subject.information['emg_kind'] == 'envelope':
        assert (subject.emg >= 0).all()
