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

"""Checkpoints on disk: what comes back, and what is refused."""

from dataclasses import replace
import hashlib
import json
import os
from pathlib import Path
import pickle
import shutil

from builders import JOINTS, make_checkpoint
from hypothesis import given, HealthCheck, settings
from hypothesis import strategies as st
from leconvmn_ros.core.errors import CheckpointError, OutputError
from leconvmn_ros.decoding import checkpoint as module
from leconvmn_ros.decoding.checkpoint import (
    check_place,
    Checkpoint,
    DESCRIPTION_FILE,
    LARGEST_DESCRIPTION,
    LARGEST_HEADER,
    load_checkpoint,
    WEIGHTS_FILE,
)
from leconvmn_ros.engines.registry import make_engine
from leconvmn_ros.models.le_convmn import LeConvMnConfig, StackConfig
from leconvmn_ros.models.lstm import LstmConfig
import numpy as np
import pytest
from safetensors.numpy import save as save_tensors


@pytest.fixture
def saved(tmp_path):
    """Return the folder of a saved checkpoint."""
    make_checkpoint().save(tmp_path / 'checkpoint')
    return tmp_path / 'checkpoint'


def described(folder):
    return json.loads((folder / DESCRIPTION_FILE).read_text())


def describe(folder, **changes):
    (folder / DESCRIPTION_FILE).write_text(json.dumps(described(folder) | changes))


def put_weights(folder, data):
    """Put other weights in place, with a matching sum: what a forger would do."""
    (folder / WEIGHTS_FILE).write_bytes(data)
    describe(folder, weights_sha256=hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize('model', [None, LstmConfig(units=5, steps='columns', layers=3)])
def test_round_trip_is_exact(tmp_path, model):
    original = make_checkpoint(model=model)
    original.save(tmp_path / 'new' / 'checkpoint')
    loaded = load_checkpoint(tmp_path / 'new' / 'checkpoint')
    assert loaded.description.model_copy(update={'weights_sha256': ''}) == original.description
    assert loaded.weights.keys() == original.weights.keys()
    for name, array in original.weights.items():
        assert array.tobytes() == loaded.weights[name].tobytes()
    built = loaded.build_model()
    assert not built.training
    for name, array in built.trained_weights().items():
        np.testing.assert_array_equal(array, original.weights[name])


def test_a_checkpoint_of_version_0_1_0_loads(tmp_path):
    """It calls some weights by other names."""
    old = {'member_weights': 'shares', 'input_conv': 'by_image', 'hidden_conv': 'by_state'}
    stack = StackConfig(planes=(4,))
    original = make_checkpoint(model=LeConvMnConfig(stacks=(stack, stack)))
    original.save(tmp_path / 'old')
    renamed = {
        '.'.join(old.get(part, part) for part in name.split('.')): array
        for name, array in original.weights.items()
    }
    assert len(renamed.keys() - original.weights.keys()) == 1 + 3 * 2 * 2
    put_weights(tmp_path / 'old', save_tensors(renamed))
    loaded = load_checkpoint(tmp_path / 'old')
    assert loaded.weights.keys() == original.weights.keys()
    for name, array in original.weights.items():
        np.testing.assert_array_equal(loaded.weights[name], array)


def test_the_folder_may_be_given_as_text(saved):
    assert load_checkpoint(str(saved)).description == load_checkpoint(saved).description


@pytest.mark.parametrize('kind', ['BF16', 'F8_E4M3', 'F16', 'F64', 'X9'])
def test_weights_of_another_kind_of_number_are_refused(saved, kind):
    data = (saved / WEIGHTS_FILE).read_bytes()
    length = int.from_bytes(data[:8], 'little')
    header = data[8 : 8 + length].replace(b'"F32"', f'"{kind}"'.encode())
    put_weights(saved, len(header).to_bytes(8, 'little') + header + data[8 + length :])
    with pytest.raises(CheckpointError, match=r'is damaged|not finite float32|do not fit|differs'):
        load_checkpoint(saved)


def test_saving_again_gives_the_same_bytes(tmp_path, saved):
    load_checkpoint(saved).save(tmp_path / 'again')
    for name in (DESCRIPTION_FILE, WEIGHTS_FILE):
        assert (saved / name).read_bytes() == (tmp_path / 'again' / name).read_bytes()


def test_weights_that_are_views_are_saved_as_they_look(tmp_path):
    checkpoint = make_checkpoint()
    weights = dict(checkpoint.weights)
    name = 'stacks.0.layers.0.input_conv.weight'
    weights[name] = np.ascontiguousarray(weights[name][::-1].swapaxes(2, 3)).swapaxes(2, 3)
    assert not weights[name].flags.c_contiguous
    replace(checkpoint, weights=weights).save(tmp_path / 'checkpoint')
    loaded = load_checkpoint(tmp_path / 'checkpoint').weights[name]
    np.testing.assert_array_equal(loaded, weights[name])


def test_description_is_readable_and_complete(saved):
    text = (saved / DESCRIPTION_FILE).read_text(encoding='utf-8')
    assert text.count('\n') > 40
    told = json.loads(text)
    model = told['model']
    assert (model['kind'], model['forget_bias']) == ('le_convmn', 1.0)
    (stack,) = model['stacks']
    assert (stack['planes'], stack['kernel']) == ([4], 3)
    path = told['signal_path']
    assert (path['channels'], path['sampling_rate']) == (3, 100.0)
    assert {'rms_window', 'exposure', 'companding', 'standardise'} <= path.keys()
    assert told['units'] == 'V, s, rad'
    assert [joint['name'] for joint in told['joints']] == list(JOINTS)
    assert told['statistics'] == {'mean': [0.3] * 3, 'scale': [0.05] * 3}
    training = told['training']
    assert training['recordings'] == ['made up']
    assert training['hold_out'] == {'kind': 'repetitions', 'validation': [2], 'test': [3]}
    assert training['validation'] == {'loss': 0.5}
    assert (
        told['weights_sha256'] == hashlib.sha256((saved / WEIGHTS_FILE).read_bytes()).hexdigest()
    )


def test_weights_are_safetensors_and_nothing_that_runs(saved):
    data = (saved / WEIGHTS_FILE).read_bytes()
    length = int.from_bytes(data[:8], 'little')
    header = json.loads(data[8 : 8 + length])
    assert {entry['dtype'] for entry in header.values()} == {'F32'}
    assert sorted(p.name for p in saved.iterdir()) == [DESCRIPTION_FILE, WEIGHTS_FILE]
    source = Path(module.__file__).read_text()
    assert 'pickle' not in source
    assert 'torch.load' not in source


def test_overwriting_replaces_the_whole_and_leaves_nothing_else(tmp_path, saved):
    newer = make_checkpoint(seed=1, planes=(2,))
    newer.save(saved)
    assert load_checkpoint(saved).description.model.stacks[0].planes == (2,)
    assert [p.name for p in tmp_path.iterdir()] == ['checkpoint']


def a_file(place):
    place.write_text('mine')


def an_empty_folder(place):
    place.mkdir()


def a_folder_of_something(place):
    place.mkdir()
    (place / 'thesis.tex').write_text('mine')


def a_checkpoint_with_a_file_of_the_user(place):
    make_checkpoint().save(place)
    (place / 'scores.json').write_text('mine')


def a_dangling_link(place):
    place.symlink_to(place.parent / 'nowhere')


def a_link_to_a_file(place):
    (place.parent / 'file').write_text('mine')
    place.symlink_to(place.parent / 'file')


@pytest.mark.parametrize(
    'make',
    [
        a_file,
        an_empty_folder,
        a_folder_of_something,
        a_checkpoint_with_a_file_of_the_user,
        a_dangling_link,
        a_link_to_a_file,
    ],
    ids=lambda make: make.__name__,
)
def test_what_is_no_checkpoint_is_never_replaced(tmp_path, make):
    place = tmp_path / 'place'
    make(place)

    def content():
        return {
            path: path.is_symlink() or path.is_dir() or path.read_bytes()
            for path in tmp_path.rglob('*')
        }

    before = content()
    for refuse in (check_place, make_checkpoint().save):
        with pytest.raises(OutputError, match='place'):
            refuse(place)
    assert content() == before


def test_a_link_to_a_checkpoint_is_read_and_never_written(tmp_path, saved):
    link = tmp_path / 'link'
    link.symlink_to(saved)
    with pytest.raises(OutputError, match='is not a checkpoint but a link'):
        make_checkpoint(planes=(2,)).save(link)
    assert load_checkpoint(link).description.model.stacks[0].planes == (4,)


@pytest.mark.parametrize('name', ['x' * 5000, 'file/checkpoint', '/proc/nobody/checkpoint'])
def test_a_place_that_cannot_be_is_one_clear_error(tmp_path, name):
    (tmp_path / 'file').write_text('')
    for refuse in (check_place, make_checkpoint().save):
        with pytest.raises(OutputError, match='cannot write'):
            refuse(tmp_path / name)
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / name)


@pytest.mark.parametrize('name', ['x' * 250, 'ü' * 125])
def test_the_longest_names_can_be_written(tmp_path, name):
    check_place(tmp_path / name)
    make_checkpoint().save(tmp_path / name)
    assert load_checkpoint(tmp_path / name).weights


def test_checking_a_free_place_leaves_no_trace(tmp_path):
    check_place(tmp_path / 'deep' / 'checkpoint')
    assert list((tmp_path / 'deep').iterdir()) == []


def remove_folder(folder):
    shutil.rmtree(folder)


def remove_weights(folder):
    (folder / WEIGHTS_FILE).unlink()


def remove_description(folder):
    (folder / DESCRIPTION_FILE).unlink()


def make_it_a_file(folder):
    shutil.rmtree(folder)
    folder.write_text('not a folder')


def weights_are_a_folder(folder):
    (folder / WEIGHTS_FILE).unlink()
    (folder / WEIGHTS_FILE).mkdir()


def weights_are_endless(folder):
    (folder / WEIGHTS_FILE).unlink()
    (folder / WEIGHTS_FILE).symlink_to('/dev/zero')


def description_is_a_pipe(folder):
    (folder / DESCRIPTION_FILE).unlink()
    os.mkfifo(folder / DESCRIPTION_FILE)


def description_links_to_itself(folder):
    (folder / DESCRIPTION_FILE).unlink()
    (folder / DESCRIPTION_FILE).symlink_to(folder / DESCRIPTION_FILE)


def weights_are_cut(folder):
    path = folder / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-1])


def weights_are_empty(folder):
    (folder / WEIGHTS_FILE).write_bytes(b'')


def weights_are_huge(folder):
    with (folder / WEIGHTS_FILE).open('r+b') as file:
        file.truncate(2**40)  # sparse


def weights_are_a_pickle(folder):
    (folder / WEIGHTS_FILE).write_bytes(pickle.dumps({'a': np.zeros(2000)}))


def weights_of_another_checkpoint(folder):
    make_checkpoint(seed=1).save(folder.parent / 'other')
    shutil.copy(folder.parent / 'other' / WEIGHTS_FILE, folder / WEIGHTS_FILE)


def forged(change):
    def spoil(folder):
        weights = {name: array.copy() for name, array in make_checkpoint().weights.items()}
        change(weights)
        put_weights(folder, save_tensors(weights))

    spoil.__name__ = change.__name__
    return spoil


def weights_with_nan(weights):
    weights['stacks.0.head.bias'][0] = np.nan


def weights_with_infinity(weights):
    weights['stacks.0.layers.0.input_conv.weight'][0, 0, 0, 0] = np.inf


def weights_in_integers(weights):
    weights['stacks.0.head.bias'] = weights['stacks.0.head.bias'].astype(np.int32)


def weights_of_another_shape(weights):
    weights['stacks.0.head.weight'] = weights['stacks.0.head.weight'].reshape(-1, 1)


def weights_of_another_name(weights):
    weights['foot.weight'] = weights.pop('stacks.0.head.weight')


def weights_too_many(weights):
    weights['more'] = np.zeros(3, dtype=np.float32)


def header_is_rubbish(folder):
    data = bytearray((folder / WEIGHTS_FILE).read_bytes())
    data[8:40] = b'?' * 32
    put_weights(folder, bytes(data))


def header_longer_than_the_file(folder):
    data = bytearray((folder / WEIGHTS_FILE).read_bytes())
    data[:8] = (2**63 - 1).to_bytes(8, 'little')
    put_weights(folder, bytes(data))


def description_of(content):
    def spoil(folder):
        (folder / DESCRIPTION_FILE).write_bytes(content)

    spoil.__name__ = f'description_{content[:12]!r}_of_{len(content)}'
    return spoil


def description_with(**changes):
    def spoil(folder):
        describe(folder, **changes)

    spoil.__name__ = f'description_with_{"_".join(changes)}'
    return spoil


def path_with(**changes):
    def spoil(folder):
        describe(folder, signal_path=described(folder)['signal_path'] | changes)

    spoil.__name__ = f'signal_path_with_{changes}'
    return spoil


def joint_with(**changes):
    def spoil(folder):
        joints = described(folder)['joints']
        joints[1] |= changes
        describe(folder, joints=joints)

    spoil.__name__ = f'joint_with_{"_".join(changes)}'
    return spoil


def flat_map(channels):
    row = [0.0] * channels
    return {'matrix': [row] * channels, 'offset': row, 'usual': row}


def flat_mixture(channels):
    rows = [[1.0] * channels] * channels
    means = [[0.0] * channels] * 2
    return {'movements': [0, 1], 'shares': [0.5, 0.5], 'means': means, 'covariance': rows}


def flat_templates(joints, points=36):
    row = [0.0] * joints
    movement = {'movement': 1, 'repetitions': 1, 'duration': 1.0, 'angles': [row] * points}
    return {'rest': row, 'movements': [movement]}


SPOILT = [
    (remove_folder, 'is not a checkpoint: a folder with'),
    (remove_weights, 'cannot read .*weights.safetensors: No such file'),
    (remove_description, 'is not a checkpoint: a folder with'),
    (make_it_a_file, 'is not a checkpoint'),
    (weights_are_a_folder, 'weights.safetensors'),
    (weights_are_endless, 'it is a device'),
    (description_is_a_pipe, 'it is a FIFO'),
    (description_links_to_itself, 'checkpoint'),
    (weights_are_cut, 'truncated or foreign|differs'),
    (weights_are_empty, 'truncated or foreign'),
    (weights_are_huge, 'truncated or foreign'),
    (weights_are_a_pickle, 'truncated or foreign|differs'),
    (weights_of_another_checkpoint, 'belongs to another checkpoint.json'),
    (forged(weights_with_nan), 'not finite float32'),
    (forged(weights_with_infinity), 'not finite float32'),
    (forged(weights_in_integers), 'not finite float32'),
    (forged(weights_of_another_shape), 'do not fit the described network'),
    (forged(weights_of_another_name), 'do not fit the described network'),
    (forged(weights_too_many), 'do not fit the described network'),
    (header_is_rubbish, 'is damaged'),
    (header_longer_than_the_file, 'is damaged'),
    (description_of(b''), 'not a checkpoint of this package'),
    (description_of(b'{'), 'not a checkpoint of this package'),
    (description_of(b'{}'), r'Field required.*\(and \d+ more\)'),
    (description_of(b'null'), 'not a checkpoint of this package'),
    (description_of(b'\xff\xfe\x00'), 'not a checkpoint of this package'),
    (description_of(b'[' * 100_000), 'not a checkpoint of this package'),
    (description_of(b'{"model": "resnet", "layers": 3}'), 'not a checkpoint of this package'),
    (description_of(b' ' * (LARGEST_DESCRIPTION + 1)), 'at most 4194304 are allowed'),
    (description_with(format='another'), 'format: .*leconvmn_ros checkpoint'),
    (description_with(format_version=1), 'format_version'),
    (description_with(format_version=3), 'format_version'),
    (description_with(units='mV, s, deg'), 'units'),
    (description_with(surprise=1), 'surprise'),
    (description_with(weights_sha256=''), 'SHA-256 differs'),
    (description_with(joints=[]), 'joints'),
    (description_with(statistics={'mean': [0], 'scale': [1]}), 'statistics of 1 channels for 3'),
    (description_with(statistics={'mean': [0] * 3, 'scale': [1, 0, 1]}), 'above 0'),
    (description_with(electrode_map=flat_map(2)), 'electrode_map of 2 channels for 3'),
    (description_with(electrode_map=flat_map(3) | {'usual': [0]}), 'rows of .* in a map of 3'),
    (description_with(electrode_map=flat_map(3), statistics=None), 'not standardised'),
    (description_with(mixture=flat_mixture(2)), 'mixture of 2 channels for 3'),
    (description_with(mixture=flat_mixture(3) | {'shares': [1, 0]}), 'share 0'),
    (description_with(mixture=flat_mixture(3) | {'shares': [1]}), '1 shares and 2 means'),
    (description_with(mixture=flat_mixture(3) | {'covariance': [[-1] * 3] * 3}), 'semidefinite'),
    (description_with(mixture=flat_mixture(65)), 'covariance'),
    (description_with(templates=flat_templates(1)), 'templates of 1 joints for 3'),
    (description_with(templates=flat_templates(3, points=35)), 'at least 36 items'),
    (description_with(templates={'rest': [0, 0], 'movements': []}), 'at least 1 item'),
    (description_with(model={'stacks': [{}]}), 'kind'),
    (description_with(model={'kind': 'resnet'}), 'resnet'),
    (description_with(model={'kind': 'le_convmn', 'stacks': [{'planes': [512] * 8}]}), 'planes'),
    (
        description_with(model={'kind': 'le_convmn', 'stacks': [{'planes': [4, 4]}]}),
        'truncated or foreign|do not fit',
    ),
    (description_with(model={'kind': 'lstm'}), 'truncated or foreign'),
    (description_with(model={'kind': 'lstm', 'units': 10**6}), 'units'),
    (description_with(model={'kind': 'lstm', 'units': 4096, 'layers': 8}), 'allowed are 67108864'),
    (
        description_with(
            model={'kind': 'le_convmn', 'stacks': [{'kernel': 9, 'electrodes': 'ring'}]}
        ),
        'kernel 9 is too large for a ring of 3',
    ),
    (path_with(channels=2), 'truncated or foreign|do not fit|statistics'),
    (path_with(channels=10**30), 'channels'),
    (path_with(sampling_rate=float('nan')), 'sampling_rate'),
    (path_with(sampling_rate=float('inf')), 'sampling_rate'),
    (path_with(exposure=1e-9), 'at least 2 are needed'),
    (path_with(sampling_rate=1e5, exposure=2), 'truncated or foreign|need .* values'),
    (joint_with(name=JOINTS[0]), 'each may appear once'),
    (joint_with(name=''), 'name'),
    (joint_with(scale=0), 'scale'),
    (joint_with(lower=2, upper=1), 'lower 2.0 is above upper 1.0'),
    (joint_with(mean=float('nan')), 'mean'),
]


@pytest.mark.parametrize(
    ('spoil', 'message'), SPOILT, ids=[spoil.__name__[:60] for spoil, _ in SPOILT]
)
def test_what_is_no_good_is_one_clear_error(saved, spoil, message):
    spoil(saved)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(saved)
    assert '\n' not in str(caught.value)
    assert str(saved) in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_a_network_too_large_for_any_memory_is_refused_by_its_description(saved):
    channels = 256
    describe(
        saved,
        model={'kind': 'le_convmn', 'stacks': [{'planes': [512, 512]}]},
        signal_path=described(saved)['signal_path']
        | {'channels': channels, 'sampling_rate': 1e5, 'exposure': 2},
        statistics=None,
    )
    with pytest.raises(CheckpointError, match='allowed are 67108864'):
        load_checkpoint(saved)


def test_a_header_may_not_be_longer_than_any_of_ours(saved):
    data = (saved / WEIGHTS_FILE).read_bytes()
    put_weights(saved, data + bytes(LARGEST_HEADER))
    with pytest.raises(CheckpointError, match='truncated or foreign'):
        load_checkpoint(saved)


@pytest.fixture(scope='module')
def pristine(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pristine') / 'checkpoint'
    make_checkpoint().save(folder)
    return folder


def flipped(data, place, bits):
    place = int(place * (len(data) - 1))
    return data[:place] + bytes([data[place] ^ bits]) + data[place + 1 :]


@pytest.mark.parametrize(
    'change', [{'a\nb': 1}, {'model': {'kind': 'a\nb'}}, {'package_version': ['a\nb']}]
)
def test_a_strange_key_or_value_is_one_line(saved, change):
    """Found by fuzzing: a key, or a kind of model, of two lines made an error of two lines."""
    describe(saved, **change)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(saved)
    assert len(str(caught.value).splitlines()) == 1


flips = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@flips
@given(place=st.floats(0, 1), bits=st.integers(1, 255))
def test_any_flipped_bit_of_the_weights_is_found(tmp_path, pristine, place, bits):
    shutil.copytree(pristine, tmp_path / 'copy', dirs_exist_ok=True)
    path = tmp_path / 'copy' / WEIGHTS_FILE
    path.write_bytes(flipped(path.read_bytes(), place, bits))
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / 'copy')


@flips
@given(place=st.floats(0, 0.2), bits=st.integers(1, 255))
def test_a_forged_header_is_refused_or_harmless(tmp_path, pristine, place, bits):
    shutil.copytree(pristine, tmp_path / 'copy', dirs_exist_ok=True)
    put_weights(tmp_path / 'copy', flipped((pristine / WEIGHTS_FILE).read_bytes(), place, bits))
    loads_or_refuses(tmp_path / 'copy')


@flips
@given(place=st.floats(0, 1), bits=st.integers(1, 255))
def test_a_flipped_bit_of_the_description_is_refused_or_harmless(tmp_path, pristine, place, bits):
    shutil.copytree(pristine, tmp_path / 'copy', dirs_exist_ok=True)
    path = tmp_path / 'copy' / DESCRIPTION_FILE
    path.write_bytes(flipped(path.read_bytes(), place, bits))
    loads_or_refuses(tmp_path / 'copy')


def loads_or_refuses(folder):
    """A description is for people to read and edit, so it has no sum: what loads must be sane."""
    try:
        checkpoint = load_checkpoint(folder)
    except CheckpointError:
        return
    assert isinstance(checkpoint, Checkpoint)
    assert all(np.isfinite(array).all() for array in checkpoint.weights.values())
    engine = make_engine('onnx', checkpoint.network())
    assert (
        len(
            engine.step(
                np.zeros(checkpoint.network().image_size, np.float32), engine.initial_state()
            )
        )
        == 2
    )
