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

"""Runs over a Ray cluster: real ones where Ray is installed."""

from importlib.util import find_spec
import sys

from benchmark_builders import make_bag, make_plan, QUICK
from leconvmn_ros.benchmark.ray_cluster import run_on_ray
from leconvmn_ros.benchmark.results import Scored
from leconvmn_ros.core.errors import ConfigurationError
import pytest

needs_ray = pytest.mark.skipif(
    find_spec('ray') is None,
    reason='RAY IS NOT INSTALLED: benchmarks over several machines are NOT tested here; '
    'pip install ray',
)


def run(jobs, **options):
    defaults = {'workers': 2, 'device': 'auto', 'threads': 1, 'gpus_per_run': None}
    return run_on_ray(jobs, **defaults | options)


def test_without_ray_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(ConfigurationError, match='pip install ray'):
        next(run([], address='local'))


@needs_ray
@pytest.mark.parametrize('address', ['127.0.0.1:1', 'nonsense', 'host:port', 'ray://127.0.0.1:1'])
def test_no_cluster_is_told_at_once(address):
    with pytest.raises(ConfigurationError, match=f'no Ray cluster at {address!r}'):
        next(run([], address=address))


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_bags_travel_and_failures_come_back(tmp_path):
    bags = [make_bag(tmp_path, name, seed=k) for k, name in enumerate(('S1', 'S2'))]
    plan = make_plan(bags, presets={'ours': QUICK})
    asking = run(plan.jobs(), address='local', gpus_per_run=1.0)
    with pytest.raises(ConfigurationError, match='asks for 1 GPUs; the cluster has 0'):
        next(asking)
    good = plan.jobs()
    (bad,) = make_plan(bags[:1], presets={'ours': QUICK}, topics={'emg': '/nothing'}).jobs()
    ended = {job.key: output for job, output in run([*good, bad], address='local')}
    for job in good:
        output = ended[job.key]
        assert isinstance(output.result.outcome, Scored), output.result
        assert output.result.key == job.key
        assert 'checkpoint/weights.safetensors' in output.files
    assert 'has no topic /nothing' in ended[bad.key].result.outcome.error
