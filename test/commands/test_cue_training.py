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

"""Training on the cue and on everything, from the command line."""

import json

from cli_harness import run
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.core.recording import EmgChunk, NANOSECONDS
from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.recordings.bag_recorder import BagRecorder
from leconvmn_ros.recordings.bag_types import (
    CUE_TOPIC,
    EMG_TOPIC,
    EMG_TYPE,
    LABEL_TOPIC,
    LABEL_TYPE,
    REFERENCE_TYPE,
)
from leconvmn_ros.recordings.message_bytes import emg_bytes, joint_state_bytes, label_bytes
from leconvmn_ros.synthetic.config import SyntheticSubjectConfig
from leconvmn_ros.synthetic.wearer import SimulatedWearer
from leconvmn_ros.wearing.course import SessionCourse, Stage
from leconvmn_ros.wearing.poses import REST_POSE
from leconvmn_ros.wearing.session import Session
import pytest

SESSION = Session(
    name='Test', movements=('fist', 'index pointing'), repetitions=3, ramp=1, hold=1, rest=1.5
)
START_NS = 1_000 * NANOSECONDS
PRESET = ['--preset', 'ridge', '--threads', '1']


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """Record what a simulated wearer does in a session, without ROS."""
    path = tmp_path_factory.mktemp('session') / 'part_1'
    wearer = SimulatedWearer(SyntheticSubjectConfig(seed=1, channels=4), REST_POSE)
    course = SessionCourse(SESSION, 0)
    course.start(START_NS)
    with BagRecorder(path) as recorder:
        for topic, kind in (
            (EMG_TOPIC, EMG_TYPE),
            (CUE_TOPIC, REFERENCE_TYPE),
            (LABEL_TOPIC, LABEL_TYPE),
        ):
            recorder.add_topic(topic, kind)
        now_ns, sent = START_NS, 0
        while course.stage is not Stage.DONE:
            now_ns += NANOSECONDS // 50
            output = course.step(now_ns)
            for cue in output.cues:
                wearer.see(*cue)
                data = joint_state_bytes(cue.stamp_ns, JOINT_NAMES, cue.pose)
                recorder.write(CUE_TOPIC, cue.stamp_ns, data)
            for label in output.labels:
                recorder.write(LABEL_TOPIC, label.stamp_ns, label_bytes(*label))
            emg = wearer.move(now_ns, 4).emg
            chunk = EmgChunk(now_ns - NANOSECONDS // 50, 200.0, sent, emg)
            recorder.write(EMG_TOPIC, now_ns, emg_bytes(chunk))
            sent += len(emg)
    return path


def test_a_decoder_is_trained_on_the_cue_and_on_everything(bag, tmp_path, capsys):
    worn = tmp_path / 'worn'
    code, _, _ = run(
        capsys, 'train', bag, '--reference', 'cue', '--all', '--output', worn, *PRESET
    )
    assert code == 0
    record = load_checkpoint(worn).description.training
    assert record.information[0]['reference'] == 'cue'
    assert record.information[0]['cue_onsets_found'] == '6 of 6'
    assert record.hold_out.kind == 'none'
    assert record.trained_on_all.hold_out.test == (3,)
    assert record.trained_on_all.test['cc'] > 0.4


def test_a_decoder_of_cues_is_scored_on_cues_unless_told_otherwise(bag, tmp_path, capsys):
    checkpoint, scores = tmp_path / 'checkpoint', tmp_path / 'scores.json'
    options = ['--output', checkpoint, *PRESET]
    assert run(capsys, 'train', bag, '--reference', 'cue', *options)[0] == 0
    assert run(capsys, 'evaluate', checkpoint, bag, '--json', scores, '--orders', '0')[0] == 0
    assert json.loads(scores.read_text())
    code, _, last = run(capsys, 'evaluate', checkpoint, bag, '--reference', 'measured')
    assert code == 1
    assert 'reference' in last


@pytest.mark.parametrize(
    ('options', 'reason'),
    [
        (['--reference', 'cue', '--reference-lag', 'auto'], 'a cue has no lag'),
        (['--all', '--test', '2'], '--all trains on everything'),
        (['--test', 'none', '--validation', '2'], '--validation does not go with --test none'),
        (['--test', 'some'], 'is not a list of repetitions'),
        (['--reference', 'glove'], 'invalid choice'),
    ],
)
def test_what_does_not_go_together_is_one_clear_error(bag, tmp_path, capsys, options, reason):
    code, _, last = run(capsys, 'train', bag, '--output', tmp_path / 'x', *options)
    assert code != 0
    assert reason in last


def test_test_none_is_the_same_as_all(bag, tmp_path, capsys):
    options = ['--output', tmp_path / 'x', '--reference', 'cue', '--test', 'none', *PRESET]
    assert run(capsys, 'train', bag, *options)[0] == 0
    assert load_checkpoint(tmp_path / 'x').description.training.trained_on_all is not None


def test_a_bag_without_a_cue_is_named(folder, tmp_path, capsys):
    code, _, last = run(
        capsys, 'train', folder / 'bag', '--output', tmp_path / 'x', '--reference', 'cue'
    )
    assert code == 1
    assert '/cue_joint_states' in last
