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

"""Adaptation from EMG alone: what moved is found and undone; nothing else is read or changed."""

from dataclasses import replace

from cli_harness import content, run
from leconvmn_ros.adaptation.affine_fit import fit_map, FREE, Gaussians, RIGID
from leconvmn_ros.adaptation.turns import Turn, turning_back
from leconvmn_ros.adaptation.unlabelled import adapt
from leconvmn_ros.core.errors import CheckpointError, ConfigurationError, RecordingError
from leconvmn_ros.core.recording import NANOSECONDS
from leconvmn_ros.dataset.hold_out import RepetitionHoldOut
from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.evaluation.comparison import compare, decode_recording
from leconvmn_ros.evaluation.metrics import as_json
from leconvmn_ros.recordings import read_bag, write_bag
from leconvmn_ros.synthetic.config import SyntheticSubjectConfig
from leconvmn_ros.synthetic.subject import synthesize
from leconvmn_ros.training.presets import PRESETS
from leconvmn_ros.training.run import train
import numpy as np
import pytest

RING = (tuple(range(8)),)
# Of new sessions: the repetitions that the training holds out.
HELD_OUT = RepetitionHoldOut(test=(4, 5, 6))
GAINS = np.array([0.5, 2.0, 0.7, 1.0, 1.6, 0.6, 1.3, 0.9])


@pytest.fixture(scope='module')
def subject():
    return synthesize(SyntheticSubjectConfig(movement_duration=3.0, rest_duration=1.0))


def session(subject, place, emg, *, labelled=True):
    """Write the held-out repetitions as a bag of their own."""
    late = subject.repetition >= 4
    beside = {
        'angles': subject.positions[late],
        'movement': subject.movement[late],
        'repetition': subject.repetition[late],
    }
    write_bag(place, emg[late], subject.sampling_rate, **(beside if labelled else {}))
    return place


@pytest.fixture(scope='module')
def made(subject, tmp_path_factory):
    """Folder with a trained decoder and bags of new sessions; only to be read."""
    folder = tmp_path_factory.mktemp('adapt')
    write_bag(
        folder / 'training',
        subject.emg,
        subject.sampling_rate,
        subject.positions,
        movement=subject.movement,
        repetition=subject.repetition,
    )
    settings = PRESETS['ridge']
    hold_out = RepetitionHoldOut(validation=(3,), test=(4, 5, 6))
    train([read_bag(folder / 'training')], settings, hold_out=hold_out).save(folder / 'decoder')
    session(subject, folder / 'same', subject.emg)
    session(subject, folder / 'moved', np.roll(subject.emg, 1, axis=1) * GAINS)
    return folder


def score(checkpoint, recording):
    decoder = Decoder(checkpoint, output_rate=0)
    estimates = decode_recording(decoder, recording)
    compared = compare(
        estimates, recording.reference, recording.labels, recording.span_ns, HELD_OUT
    )
    return as_json(compared.score())['mean']['cc']


def test_a_turn_and_other_gains_are_found_and_most_of_the_loss_is_recovered(made):
    checkpoint = load_checkpoint(made / 'decoder')
    unmoved, moved = read_bag(made / 'same'), read_bag(made / 'moved')
    adaptation = adapt(checkpoint, moved, RING)
    # What is on a channel now was on the one before in the training.
    assert adaptation.found.turn == Turn((-1.0,))
    assert adaptation.found.confidence >= 0.9
    best, worst = score(checkpoint, unmoved), score(checkpoint, moved)
    assert best - worst > 0.15
    assert score(adaptation.checkpoint, moved) > best - 0.25 * (best - worst)


def test_where_the_band_turned_but_the_gains_stayed_only_the_turn_is_undone(made):
    checkpoint, recording = load_checkpoint(made / 'decoder'), read_bag(made / 'same')
    turned = replace(
        recording,
        chunks=[c._replace(samples=np.roll(c.samples, 2, axis=1)) for c in recording.chunks],
    )
    adaptation = adapt(checkpoint, turned, RING)
    assert adaptation.found.turn == Turn((-2.0,))
    assert adaptation.moved
    assert not adaptation.matched
    assert score(adaptation.checkpoint, turned) == pytest.approx(
        score(checkpoint, recording), abs=1e-3
    )


def test_a_band_worn_the_other_way_round_is_found(made):
    recording = read_bag(made / 'same')
    mirrored = replace(
        recording, chunks=[c._replace(samples=c.samples[:, ::-1]) for c in recording.chunks]
    )
    turn = adapt(load_checkpoint(made / 'decoder'), mirrored, RING).found.turn
    assert turn == Turn((1.0,), reversed=True)


def test_a_turn_by_part_of_an_electrode_is_undone_to_within_a_step():
    angles = 2 * np.pi * np.arange(8) / 8
    for electrodes in np.arange(-2, 2.25, 0.25):
        trained = np.cos(angles) + 0.3 * np.sin(2 * angles)
        # An electrode that turned measures what the training had further on.
        turned = angles + 2 * np.pi * electrodes / 8
        now = np.cos(turned) + 0.3 * np.sin(2 * turned)
        back = turning_back(Turn((electrodes,)), RING, 8)
        np.testing.assert_allclose(back @ now, trained, atol=1e-12)
        np.testing.assert_allclose(back @ back.T, np.eye(8), atol=1e-12)


def test_only_channels_of_a_ring_are_turned():
    back = turning_back(Turn((1.0,)), [(0, 1, 2)], 4)
    np.testing.assert_allclose(back @ [1, 2, 3, 4], [3, 1, 2, 4], atol=1e-12)


def test_where_nothing_moved_the_decoder_stays_as_it_is(made, tmp_path, capsys):
    code, out, _ = run(
        capsys,
        'adapt',
        made / 'decoder',
        made / 'same',
        '--output',
        tmp_path / 'new',
        '--rings',
        8,
    )
    assert code == 0
    assert 'as in the training' in out
    assert 'nothing to adapt' in out
    for name in ('checkpoint.json', 'weights.safetensors'):
        assert (tmp_path / 'new' / name).read_bytes() == (made / 'decoder' / name).read_bytes()


def test_the_command_says_what_it_found_and_how_sure_it_is(made, tmp_path, capsys):
    arguments = ('adapt', made / 'decoder', made / 'moved', '--output', tmp_path / 'new')
    code, out, _ = run(capsys, *arguments, '--rings', 8)
    assert code == 0
    assert 'turned by -1 electrodes (confidence ' in out
    assert load_checkpoint(tmp_path / 'new').description.electrode_map is not None


def test_labels_and_angles_in_the_bag_change_nothing(made, subject, tmp_path, capsys):
    emg = np.roll(subject.emg, 1, axis=1) * GAINS
    session(subject, tmp_path / 'bare', emg, labelled=False)
    random = np.random.default_rng(0)
    wrong = replace(
        subject,
        positions=random.permutation(subject.positions),
        movement=np.sort(subject.movement)[::-1].copy(),
    )
    session(wrong, tmp_path / 'wrong', emg)
    written = []
    for bag in (made / 'moved', tmp_path / 'bare', tmp_path / 'wrong'):
        output = tmp_path / f'{bag.name}_decoder'
        code, *_ = run(capsys, 'adapt', made / 'decoder', bag, '--output', output, '--rings', '8')
        assert code == 0
        written.append([value[1] for path, value in sorted(content(output).items())])
    assert written[0] == written[1] == written[2]


def test_too_little_emg_is_refused_and_nothing_is_written(made, subject, tmp_path, capsys):
    write_bag(tmp_path / 'short', subject.emg[:2000], subject.sampling_rate)
    code, _, error = run(
        *(capsys, 'adapt', made / 'decoder', tmp_path / 'short'),
        *('--output', tmp_path / 'new', '--rings', 8),
    )
    assert code == 1
    assert '10 s of EMG; at least 25 s are needed' in error
    assert not (tmp_path / 'new').exists()


def test_an_arm_that_does_not_move_is_refused(made):
    random = np.random.default_rng(0)
    still = 1e-5 * random.standard_normal((8000, 8))
    checkpoint = load_checkpoint(made / 'decoder')
    recording = read_bag(made / 'same')
    chunk = recording.chunks[0]._replace(samples=still.astype(np.float32), first_sample=0)
    with pytest.raises(RecordingError, match='arm hardly moved'):
        adapt(checkpoint, replace(recording, chunks=[chunk]), RING)


def test_an_answer_that_is_not_sure_enough_is_refused(made):
    # Noise in place of EMG, as loud and as lively.
    random = np.random.default_rng(1)
    loudness = np.repeat(10 ** random.uniform(-5, -3, (40, 8)), 200, axis=0)
    recording = read_bag(made / 'same')
    samples = (loudness * random.standard_normal(loudness.shape)).astype(np.float32)
    chunk = recording.chunks[0]._replace(samples=samples, first_sample=0)
    with pytest.raises(RecordingError, match=r'not tell clearly how .* 1 is needed'):
        adapt(
            load_checkpoint(made / 'decoder'),
            replace(recording, chunks=[chunk]),
            RING,
            least_confidence=1.0,
        )


def test_a_decoder_without_statistics_of_its_training_is_refused(made):
    checkpoint = load_checkpoint(made / 'decoder')
    old = replace(
        checkpoint, description=checkpoint.description.model_copy(update={'mixture': None})
    )
    with pytest.raises(CheckpointError, match='Train it again'):
        adapt(old, read_bag(made / 'moved'), RING)


def test_the_arrangement_of_the_electrodes_must_be_known(made, tmp_path, capsys):
    arguments = ('adapt', made / 'decoder', made / 'moved', '--output', tmp_path / 'new')
    code, _, error = run(capsys, *arguments)
    assert code == 1
    assert '--rings 8 for one ring of all channels' in error
    code, _, error = run(capsys, *arguments, '--rings', '8,8')
    assert code == 1
    assert 'are 16 electrodes; the decoder has 8' in error


@pytest.mark.parametrize('rings', [(), [(0, 1)], [(0, 1, 2, 2)], [(0, 1, 8)]])
def test_impossible_rings_are_refused(made, rings):
    with pytest.raises(ConfigurationError, match='rings'):
        adapt(load_checkpoint(made / 'decoder'), read_bag(made / 'same'), rings)


def test_emg_of_another_source_is_refused(made, subject, tmp_path):
    write_bag(tmp_path / 'seven', subject.emg[:, :7], subject.sampling_rate)
    with pytest.raises(RecordingError, match='has 7 channels at 200 Hz; the decoder takes 8'):
        adapt(load_checkpoint(made / 'decoder'), read_bag(tmp_path / 'seven'), RING)


def test_an_adapted_decoder_is_adapted_from_its_training_again(made):
    checkpoint, moved = load_checkpoint(made / 'decoder'), read_bag(made / 'moved')
    once = adapt(checkpoint, moved, RING).checkpoint
    assert adapt(once, moved, RING).checkpoint.description == once.description
    assert adapt(once, read_bag(made / 'same'), RING).checkpoint.description == (
        checkpoint.description
    )


def test_live_equals_offline_with_a_map(made):
    moved = read_bag(made / 'moved')
    checkpoint = adapt(load_checkpoint(made / 'decoder'), moved, RING).checkpoint
    rate = moved.chunks[0].sampling_rate
    samples = np.concatenate([chunk.samples for chunk in moved.chunks])[:2000]
    whole = moved.chunks[0]._replace(samples=samples)
    live, offline = Decoder(checkpoint), Decoder(checkpoint)
    parts = []
    for first in range(0, len(samples), 7):
        chunk = whole._replace(
            stamp_ns=whole.stamp_ns + round(first * NANOSECONDS / rate),
            first_sample=whole.first_sample + first,
            samples=samples[first : first + 7],
        )
        parts += live.decode(chunk)
    at_once = offline.decode(whole)
    assert len(parts) == len(at_once) > 100
    np.testing.assert_allclose(
        [e.positions for e in parts], [e.positions for e in at_once], rtol=0, atol=1e-6
    )


def test_a_dead_channel_is_masked_before_the_map(made):
    moved = read_bag(made / 'moved')
    checkpoint = adapt(load_checkpoint(made / 'decoder'), moved, RING).checkpoint
    whole = score(checkpoint, moved)
    dead = replace(
        moved,
        chunks=[c._replace(samples=c.samples * (np.arange(8) != 3)) for c in moved.chunks],
    )
    decoder = Decoder(checkpoint)
    decode_recording(decoder, dead)
    assert decoder.quality.masked.tolist() == [channel == 3 for channel in range(8)]
    assert score(checkpoint, dead) > 0.7 * whole


def with_dead(recording, channels):
    alive = ~np.isin(np.arange(8), channels)
    return replace(
        recording, chunks=[c._replace(samples=c.samples * alive) for c in recording.chunks]
    )


@pytest.mark.parametrize('channels', [(3,), (0, 5)])
def test_half_of_what_dead_electrodes_cost_is_recovered(made, channels):
    checkpoint, unmoved = load_checkpoint(made / 'decoder'), read_bag(made / 'same')
    dead = with_dead(unmoved, channels)
    adaptation = adapt(checkpoint, dead, RING)
    assert adaptation.dead == channels
    assert adaptation.found.turn == Turn((0.0,))
    best, masked = score(checkpoint, unmoved), score(checkpoint, dead)
    assert best - masked > 0.01
    assert score(adaptation.checkpoint, dead) > masked + 0.5 * (best - masked)


def test_a_turn_is_found_in_spite_of_a_dead_electrode(made):
    checkpoint, moved = (
        load_checkpoint(made / 'decoder'),
        with_dead(read_bag(made / 'moved'), (2,)),
    )
    adaptation = adapt(checkpoint, moved, RING)
    assert adaptation.found.turn == Turn((-1.0,))
    assert adaptation.dead == (2,)


def test_more_dead_electrodes_than_half_are_refused(made):
    dead = with_dead(read_bag(made / 'same'), (0, 1, 2, 4, 6))
    with pytest.raises(RecordingError, match='on channel 0, 1, 2, 4, 6; at least half'):
        adapt(load_checkpoint(made / 'decoder'), dead, RING)


def test_features_mixed_in_a_way_that_no_turn_explains_are_unmixed():
    random = np.random.default_rng(0)
    means = 2 * random.standard_normal((6, 4))
    gaussians = Gaussians(means, np.eye(4), np.full(6, 1 / 6))
    made = np.repeat(random.integers(6, size=200), 10)
    features = means[made] + random.standard_normal((2000, 4))
    mixing = np.eye(4) + 0.2 * random.standard_normal((4, 4))
    mixed = (features - 0.5) @ np.linalg.inv(mixing).T
    rigid, free = (fit_map(gaussians, mixed, 2.0, strength) for strength in (RIGID, FREE))
    assert np.abs(free.map.apply(mixed) - features).mean() < 0.15
    assert np.abs(rigid.map.apply(mixed) - features).mean() > 0.2
    assert free.evidence > rigid.evidence + 0.1
