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

"""Prompted adaptation: what was asked for is matched and learnt, angles are never looked at."""

from dataclasses import replace

from cli_harness import run
from leconvmn_ros.adaptation.prompted import adapt_prompted, LEAST_SHARE
from leconvmn_ros.adaptation.prompts import prompts_of
from leconvmn_ros.adaptation.turns import Turn
from leconvmn_ros.adaptation.unlabelled import adapt
from leconvmn_ros.core.errors import CheckpointError, RecordingError
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import LabelTrack, NANOSECONDS
from leconvmn_ros.dataset.alignment import angles_at
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
CALIBRATION, SCORED = 4, (5, 6)
GAINS = np.array([0.5, 2.0, 0.7, 1.0, 1.6, 0.6, 1.3, 0.9])


def session(subject, place, emg, repetitions):
    """Write some repetitions as a bag of their own."""
    used = np.isin(subject.repetition, repetitions)
    write_bag(
        place,
        emg[used],
        subject.sampling_rate,
        subject.positions[used],
        movement=subject.movement[used],
        repetition=subject.repetition[used],
    )


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Folder with a ridge and a network, and bags of new sessions; only to be read."""
    folder = tmp_path_factory.mktemp('prompted')
    subject = synthesize(SyntheticSubjectConfig(movement_duration=3.0, rest_duration=2.0))
    session(subject, folder / 'training', subject.emg, range(1, 7))
    recording = read_bag(folder / 'training')
    hold_out = RepetitionHoldOut(test=(CALIBRATION, *SCORED))
    network = PRESETS['small'].changed('fit', epochs=6)
    for name, settings in (('ridge', PRESETS['ridge']), ('network', network)):
        part = RepetitionHoldOut(validation=(3,), test=(CALIBRATION, *SCORED))
        own = part if name == 'ridge' else hold_out
        train([recording], settings, hold_out=own).save(folder / name)
    moved = np.roll(subject.emg, 1, axis=1) * GAINS
    for name, emg in (('same', subject.emg), ('moved', moved)):
        session(subject, folder / name, emg, [CALIBRATION])
        session(subject, folder / f'{name}_scored', emg, SCORED)
    return folder


@pytest.fixture(scope='module')
def adapted(made):
    """Return the network, adapted to a band that moved."""
    return adapt_prompted(load_checkpoint(made / 'network'), read_bag(made / 'moved'), RING)


def score(checkpoint, bag):
    recording = read_bag(bag)
    estimates = decode_recording(Decoder(checkpoint, output_rate=0), recording)
    compared = compare(
        estimates,
        recording.reference,
        recording.labels,
        recording.span_ns,
        RepetitionHoldOut(test=SCORED),
    )
    return as_json(compared.score())['mean']['cc']


def test_the_targets_are_the_templates_where_the_emg_says_that_movements_were_made(made):
    templates = load_checkpoint(made / 'network').description.templates
    recording = read_bag(made / 'same')
    prompts = prompts_of(recording, frozenset(templates.by_number()))
    stamps = recording.reference.stamps_ns
    meant = prompts.angles_at(stamps, templates)
    truth = angles_at(recording.reference, JOINT_NAMES, stamps).positions
    assert np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(meant.T, truth.T, strict=True)]) > 0.8
    # Whenever the labels say that it should have been.
    late = replace(
        recording,
        labels=replace(recording.labels, stamps_ns=recording.labels.stamps_ns - 400_000_000),
    )
    again = prompts_of(late, frozenset(templates.by_number())).angles_at(stamps, templates)
    same = [np.corrcoef(a, b)[0, 1] for a, b in zip(meant.T, again.T, strict=True)]
    assert np.mean(same) > 0.95


def test_a_band_that_moved_is_undone_and_the_weights_learn(made, adapted):
    checkpoint = load_checkpoint(made / 'network')
    assert adapted.found.turn == Turn((-1.0,))
    assert adapted.fine_tuned
    best = score(checkpoint, made / 'same_scored')
    worst = score(checkpoint, made / 'moved_scored')
    assert best - worst > 0.15
    assert score(adapted.checkpoint, made / 'moved_scored') > best - 0.2 * (best - worst)


def test_what_taught_it_is_in_its_history(made, adapted):
    before = load_checkpoint(made / 'network').description.training.learnt
    *old, new = adapted.checkpoint.description.training.learnt
    assert tuple(old) == before
    assert (new.name, new.repetitions) == ('moved', (CALIBRATION,))


def test_angles_in_the_bag_change_nothing(made, adapted):
    recording = replace(read_bag(made / 'moved'), reference=None)
    bare = adapt_prompted(load_checkpoint(made / 'network'), recording, RING).checkpoint
    assert bare.description == adapted.checkpoint.description
    for name, weights in adapted.checkpoint.weights.items():
        np.testing.assert_array_equal(bare.weights[name], weights)


def test_a_model_that_is_not_trained_step_by_step_gets_the_map_alone(made):
    checkpoint = load_checkpoint(made / 'ridge')
    adaptation = adapt_prompted(checkpoint, read_bag(made / 'moved'), RING)
    assert adaptation.moved
    assert not adaptation.fine_tuned
    assert adaptation.checkpoint.weights is checkpoint.weights
    assert adaptation.checkpoint.description.training == checkpoint.description.training


def test_labels_are_not_used_where_few_movements_were_asked_for(made):
    checkpoint, recording = load_checkpoint(made / 'network'), read_bag(made / 'moved_scored')
    known = len(checkpoint.description.templates.movements)
    movement = recording.labels.movement
    asked = np.where(movement > known * LEAST_SHARE - 1, 99, movement)
    labels = replace(recording.labels, movement=asked)
    adaptation = adapt_prompted(checkpoint, replace(recording, labels=labels), RING)
    assert adaptation.moved
    assert not adaptation.prompted
    assert not adaptation.fine_tuned
    alone = adapt(checkpoint, recording, RING)
    assert adaptation.checkpoint.description == alone.checkpoint.description


def test_nothing_moved_costs_next_to_nothing(made):
    checkpoint = load_checkpoint(made / 'network')
    adaptation = adapt_prompted(checkpoint, read_bag(made / 'same'), RING)
    assert adaptation.found.turn == Turn((0.0,))
    before = score(checkpoint, made / 'same_scored')
    assert score(adaptation.checkpoint, made / 'same_scored') > before - 0.02


def without_labels(recording):
    return replace(recording, labels=None)


def of_unknown_movements(recording):
    labels = recording.labels
    movement = np.where(labels.movement > 0, labels.movement + 50, 0)
    return replace(recording, labels=replace(labels, movement=movement))


def that_is_short(recording):
    end_ns = recording.span_ns[0] + 15 * NANOSECONDS
    chunks = [chunk for chunk in recording.chunks if chunk.stamp_ns < end_ns]
    return replace(recording, chunks=chunks)


@pytest.mark.parametrize(
    ('spoilt', 'problem'),
    [
        (without_labels, 'has no movement labels'),
        (of_unknown_movements, r'asks for movements \[51, .*the decoder knows \[1, 2'),
        (that_is_short, 's of EMG.*at least 2[05] s are'),
    ],
)
def test_a_bag_that_is_no_guided_session_is_refused(made, spoilt, problem):
    with pytest.raises(RecordingError, match=problem):
        adapt_prompted(load_checkpoint(made / 'ridge'), spoilt(read_bag(made / 'same')), RING)


def test_a_decoder_without_templates_is_refused(made):
    checkpoint = load_checkpoint(made / 'ridge')
    old = replace(
        checkpoint, description=checkpoint.description.model_copy(update={'templates': None})
    )
    with pytest.raises(CheckpointError, match='keeps no templates'):
        adapt_prompted(old, read_bag(made / 'same'), RING)


def test_a_repetition_that_was_withdrawn_teaches_nothing(made):
    templates = load_checkpoint(made / 'ridge').description.templates
    recording = read_bag(made / 'same')
    labels = recording.labels
    place = int(np.flatnonzero(labels.movement == 1)[0])
    repetition = labels.repetition.copy()
    repetition[place + 1] = 0
    spoilt = replace(recording, labels=LabelTrack(labels.stamps_ns, labels.movement, repetition))
    prompts = prompts_of(spoilt, frozenset(templates.by_number()))
    whole = prompts_of(recording, frozenset(templates.by_number()))
    assert len(prompts.made) == len(whole.made) - 1
    assert prompts.withdrawn(labels.stamps_ns[place : place + 1]).all()
    assert prompts.movements_at(labels.stamps_ns[place : place + 1]) == [-1]


def test_the_command_adapts_by_a_guided_session(made, tmp_path, capsys):
    code, out, _ = run(
        *(capsys, 'adapt', made / 'network', made / 'moved', '--prompted'),
        *('--output', tmp_path / 'new', '--rings', 8),
    )
    assert code == 0
    assert 'turned by -1 electrodes (confidence ' in out
    assert 'weights: fine-tuned on the prompted movements' in out
    assert load_checkpoint(tmp_path / 'new').description.electrode_map is not None
