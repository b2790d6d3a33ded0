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

"""AdamW: bit for bit that of PyTorch, without the import of its compiler."""

import subprocess
import sys

from leconvmn_ros.training.adamw import AdamW
import torch
from torch import nn

USE = """
import sys
import torch
from leconvmn_ros.training.adamw import AdamW
weight = torch.ones(3, requires_grad=True)
optimiser = AdamW([weight], 0.1, 0.01)
weight.square().sum().backward()
torch.nn.utils.clip_grad_norm_([weight], 1.0)
optimiser.step()
print(weight.detach().tolist(), 'torch._dynamo' in sys.modules)
"""


def test_it_does_what_pytorch_does():
    torch.manual_seed(0)
    start = nn.Sequential(nn.Linear(9, 7), nn.Tanh(), nn.Linear(7, 3))
    trained = []
    for ours in (True, False):
        model = nn.Sequential(nn.Linear(9, 7), nn.Tanh(), nn.Linear(7, 3))
        model.load_state_dict(start.state_dict())
        own = AdamW(model.parameters(), 0.01, 0.05)
        theirs = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.05, fused=True)
        random = torch.Generator().manual_seed(1)
        for step in range(50):
            own.learning_rate = theirs.param_groups[0]['lr'] = 0.01 / (1 + step)
            own.forget_gradients()
            x = torch.randn(20, 9, generator=random)
            (model(x) - x[:, :3]).square().mean().backward()
            (own if ours else theirs).step()
        trained.append([weight.detach() for weight in model.parameters()])
    for one, other, before in zip(*trained, start.parameters(), strict=True):
        assert torch.equal(one, other)
        assert not torch.equal(one, before)


def test_the_compiler_of_pytorch_is_not_imported():
    ended = subprocess.run([sys.executable, '-c', USE], capture_output=True, text=True, check=True)
    weights, imported = ended.stdout.rsplit(maxsplit=1)
    assert imported == 'False'
    assert '1.0,' not in weights
