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

import json

from builders import make_checkpoint
from leconvmn_ros.cli import main
from leconvmn_ros.models.lstm import LstmConfig
import numpy as np
import onnxruntime
import pytest
import torch


@pytest.mark.parametrize('model', [None, LstmConfig(units=5)], ids=['le_convmn', 'lstm'])
def test_a_file_alone_is_enough_to_decode(tmp_path, capsys, model):
    checkpoint = make_checkpoint(model=model)
    checkpoint.save(tmp_path / 'trained')
    path = tmp_path / 'made' / 'model.onnx'
    assert main(['export', str(tmp_path / 'trained'), '--output', str(path)]) == 0
    assert f'{path}: {path.stat().st_size} bytes' in capsys.readouterr().out

    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    image, *before = session.get_inputs()
    output, *after = session.get_outputs()
    assert (image.name, output.name) == ('image', 'output')
    assert [x.name for x in before] == [f'state_{n}' for n in range(len(before))]
    assert [x.name for x in after] == [f'next_{n}' for n in range(len(before))]
    state = [np.zeros(x.shape, dtype=np.float32) for x in before]
    network = checkpoint.build_model()
    expected_state = network.initial_state()
    random = np.random.default_rng(0)
    for _ in range(30):
        pixels = random.standard_normal(image.shape).astype(np.float32)
        feeds = {x.name: value for x, value in zip(before, state, strict=True)}
        found, *state = session.run(None, {'image': pixels, **feeds})
        with torch.inference_mode():
            expected, expected_state = network(
                torch.from_numpy(pixels)[None, None], expected_state
            )
        np.testing.assert_allclose(found, expected[0, 0].numpy(), rtol=0, atol=1e-4)

    facts = session.get_modelmeta().custom_metadata_map
    description = checkpoint.description.model_dump(mode='json')
    for name in ('signal_path', 'statistics', 'joints', 'model', 'units'):
        assert json.loads(facts[name]) == description[name]
