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

"""The decoder that ships with the package fits what ships with it, and the demo knows when."""

from builders import make_checkpoint
from leconvmn_ros.commands import demo
from leconvmn_ros.commands.demo import DEMO_CHECKPOINT
from leconvmn_ros.core.joints import JOINT_NAMES
from leconvmn_ros.dataset.hold_out import hold_out_named
from leconvmn_ros.decoding.checkpoint import load_checkpoint
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.evaluation.comparison import compare, decode_recording
from leconvmn_ros.recordings.bags import read_bag, write_bag
from leconvmn_ros.synthetic.config import SyntheticSubjectConfig
from leconvmn_ros.synthetic.subject import synthesize
from leconvmn_ros.training.data import gather
from leconvmn_ros.training.presets import PRESETS, TrainingSettings
import pytest
from small_recordings import sampled_subject
import torch

torch.set_num_threads(1)


class Trained(Exception):  # noqa: N818 - no error: it tells that the demo would train
    """The demo trains."""


@pytest.fixture(autouse=True)
def no_training(monkeypatch):
    def train(*_, **__):
        raise Trained

    monkeypatch.setattr('leconvmn_ros.training.run.train', train)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Return the folder of a demo with the bag of the synthetic subject."""
    folder = tmp_path_factory.mktemp('demo')
    assert demo._prepare_bag(None, folder) == folder / 'synthetic'
    return folder


@pytest.fixture(scope='module')
def recording(folder):
    return read_bag(folder / 'synthetic')


@pytest.fixture(scope='module')
def shipped():
    return load_checkpoint(DEMO_CHECKPOINT)


def test_the_demo_takes_the_shipped_decoder(folder):
    assert demo._prepare_checkpoint(folder, folder / 'synthetic', 'small') == DEMO_CHECKPOINT


def test_the_shipped_decoder_is_of_the_preset_and_the_subject_of_today(shipped, recording):
    training = shipped.description.training
    assert TrainingSettings(**training.settings) == PRESETS['small']
    assert training.settings == PRESETS['small'].model_dump(mode='json')
    assert training.information == (dict(recording.information),)
    assert training.information[0]['config'] == SyntheticSubjectConfig().model_dump_json()
    held_out = hold_out_named('repetitions', recording).of([recording])
    assert training.hold_out.test == held_out.test
    assert training.hold_out.validation == ()  # nothing chose the epoch
    assert tuple(joint.name for joint in shipped.description.joints) == JOINT_NAMES


def test_the_shipped_decoder_was_trained_on_just_this_recording(shipped, recording):
    """The same settings of the subject are not enough: how it is made may have changed."""
    description = shipped.description
    data = gather(
        [recording],
        PRESETS['small'].exposure,
        description.training.hold_out,
        learn_validation=True,
    )
    assert data.signal_path == description.signal_path
    found, known = data.statistics.model_dump(), description.statistics.model_dump()
    for name in ('mean', 'scale'):
        assert found[name] == pytest.approx(known[name], rel=1e-4)
    for joint, known in zip(data.joints, description.joints, strict=True):
        assert joint.name == known.name
        values, expected = (j.model_dump(exclude={'name'}) for j in (joint, known))
        assert values == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_the_shipped_decoder_decodes_what_was_held_out(shipped, recording):
    estimates = decode_recording(Decoder(shipped, output_rate=0), recording)
    hold_out = shipped.description.training.hold_out
    score = compare(
        estimates, recording.reference, recording.labels, recording.span_ns, hold_out
    ).score()
    assert score.count > 500
    # Better than the best that a constant can be, by far.
    assert score.mean.cc > 0.85
    assert score.mean.r2 > 0.7


def test_the_shipped_decoder_is_small_and_nothing_else_is_there():
    sizes = {path.name: path.stat().st_size for path in DEMO_CHECKPOINT.iterdir()}
    assert set(sizes) == {'checkpoint.json', 'weights.safetensors'}
    assert sum(sizes.values()) < 2_000_000


@pytest.mark.parametrize('preset', sorted(set(PRESETS) - {'small'}))
def test_another_preset_is_trained(folder, preset):
    with pytest.raises(Trained):
        demo._prepare_checkpoint(folder, folder / 'synthetic', preset)


@pytest.mark.parametrize('change', [{'seed': 1}, {'fit': {'epochs': 3}}, {'threads': 2}], ids=str)
def test_another_training_of_the_preset_is_trained(monkeypatch, folder, change):
    (part, value), *_ = change.items()
    small = PRESETS['small']
    changed = small.changed(part, **value) if isinstance(value, dict) else small.changed(**change)
    monkeypatch.setitem(PRESETS, 'small', changed)
    with pytest.raises(Trained):
        demo._prepare_checkpoint(folder, folder / 'synthetic', 'small')


@pytest.mark.parametrize(
    'subject',
    [
        sampled_subject(4.0),  # says nothing of itself
        synthesize(SyntheticSubjectConfig(seed=1, movements=1, repetitions=3)),
    ],
    ids=['unknown', 'another'],
)
def test_another_recording_is_trained_on(tmp_path, subject):
    # Under the name of the usual one.
    write_bag(subject, tmp_path / 'synthetic')
    with pytest.raises(Trained):
        demo._prepare_checkpoint(tmp_path, tmp_path / 'synthetic', 'small')


def test_a_decoder_that_the_demo_trained_before_comes_first(folder, shipped):
    own = folder / 'synthetic_small'
    shipped.save(own)
    assert demo._prepare_checkpoint(folder, folder / 'synthetic', 'small') == own
    # But not one of another training.
    make_checkpoint().save(own)
    assert demo._prepare_checkpoint(folder, folder / 'synthetic', 'small') == DEMO_CHECKPOINT


def test_a_broken_shipped_decoder_is_none(monkeypatch, tmp_path, folder, shipped):
    place = tmp_path / 'broken'
    shipped.save(place)
    weights = (place / 'weights.safetensors').read_bytes()
    (place / 'weights.safetensors').write_bytes(weights[:-1])
    monkeypatch.setattr(demo, 'DEMO_CHECKPOINT', place)
    with pytest.raises(Trained):
        demo._prepare_checkpoint(folder, folder / 'synthetic', 'small')


def test_the_bag_of_an_earlier_demo_is_taken_if_it_is_the_same(folder):
    files = list((folder / 'synthetic').iterdir())
    before = [path.stat().st_mtime_ns for path in files]
    assert demo._prepare_bag(None, folder) == folder / 'synthetic'
    assert [path.stat().st_mtime_ns for path in files] == before != []


def test_the_bag_of_another_subject_is_made_anew(tmp_path):
    write_bag(sampled_subject(1.0), tmp_path / 'synthetic')
    bag = demo._prepare_bag(None, tmp_path)
    config = read_bag(bag).information['config']
    assert config == SyntheticSubjectConfig().model_dump_json()
