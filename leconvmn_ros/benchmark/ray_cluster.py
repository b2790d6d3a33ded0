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

"""The runs of a benchmark on the machines of a Ray cluster.

Each machine needs this package, in the same version. The bags need not be there: their files
travel through Ray's object store, and the results come back to the one process that writes them.
"""

from collections.abc import Generator, Mapping, Sequence
from importlib import import_module
import os
from pathlib import Path
import socket
import tempfile
from types import ModuleType
from typing import Any

from leconvmn_ros.benchmark.donning_plan import AnyJob, DonningJob
from leconvmn_ros.benchmark.plan import Bag, bag_files, Job
from leconvmn_ros.benchmark.results import RunOutput
from leconvmn_ros.benchmark.run import failure, perform
from leconvmn_ros.core.errors import ConfigurationError


def run_on_ray(
    jobs: Sequence[AnyJob],
    *,
    address: str,
    workers: int,
    device: str,
    threads: int,
    gpus_per_run: float | None,
) -> Generator[tuple[Job, RunOutput], None, None]:
    """Do runs wherever Ray finds room.

    Args:
        jobs: what to do, in this order.
        address: 'local' (a cluster of this machine alone, for as long as it takes), 'auto' or the
            host:port of a cluster that runs.
        workers: how many runs at a time on a 'local' cluster; elsewhere Ray decides.
        device: 'auto', 'cpu' or 'cuda', see `find_device`.
        threads: CPU threads of each run.
        gpus_per_run: GPUs that each run asks for; one if the cluster has any, else none, if None.

    Yields:
        A job with its output.

    Raises:
        ConfigurationError: Ray is not installed, there is no such cluster, it can never have room
            for one of the runs, or one of them needs more than one bag.
    """
    shipped = [job for job in jobs if not isinstance(job, DonningJob)]
    if len(shipped) < len(jobs):
        raise ConfigurationError('the protocol redonning runs on this machine alone')
    ray = _import_ray()
    _connect(ray, address, workers * threads)
    pending: dict[Any, Job] = {}
    try:
        gpus = _gpus(ray.cluster_resources(), threads, gpus_per_run)
        if not gpus and device == 'auto':
            device = 'cpu'  # a run must not take a GPU that it did not ask for
        remote = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=1)(_perform_shipped)
        bags = {bag: ray.put(_content(bag)) for bag in {job.bag for job in shipped}}
        pending = {remote.remote(job, bags[job.bag], device, threads): job for job in shipped}
        while pending:
            (done, *_), _ = ray.wait(list(pending), num_returns=1)
            job = pending.pop(done)
            yield job, _output(ray, done, job)
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)
        ray.shutdown()


def _import_ray() -> ModuleType:
    # By default Ray sends usage statistics to its makers: users must opt in instead.
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    try:
        return import_module('ray')
    except ImportError as error:
        raise ConfigurationError(f'Ray cannot be imported ({error}); pip install ray') from error


def _connect(ray: ModuleType, address: str, cpus: int) -> None:
    quiet = {'log_to_driver': False, 'logging_level': 'warning'}
    if address == 'local':
        ray.init(address='local', num_cpus=cpus, include_dashboard=False, **quiet)
        return
    if address != 'auto':
        _check_reachable(address)
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigurationError(
            f'no Ray cluster at {address!r}: {error} '
            '(one that asks for a token needs RAY_AUTH_MODE=token here as well)'
        ) from error


def _check_reachable(address: str) -> None:
    """Check that the address answers: Ray itself would retry for many minutes."""
    host, _, port = address.removeprefix('ray://').rpartition(':')
    try:
        with socket.create_connection((host, int(port)), timeout=10):
            pass
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigurationError(
            f'no Ray cluster at {address!r} ({error}); '
            'allowed are local, auto, and host:port of one that runs'
        ) from error


def _gpus(there: Mapping[str, float], threads: int, gpus_per_run: float | None) -> float:
    """Return the number of GPUs to request; reject a number that the cluster can never provide."""
    gpus = gpus_per_run
    if gpus is None:
        gpus = 1.0 if there.get('GPU', 0) >= 1 else 0.0
    for what, asked in (('CPU', threads), ('GPU', gpus)):
        if asked > there.get(what, 0):
            raise ConfigurationError(
                f'each run asks for {asked:g} {what}s; the cluster has {there.get(what, 0):g}'
            )
    return gpus


def _content(bag: Bag) -> dict[str, bytes]:
    return {name: file.read_bytes() for name, file in bag_files(Path(bag.path)).items()}


def _perform_shipped(
    job: Job, content: Mapping[str, bytes], device: str, threads: int
) -> RunOutput:
    """Do a run on a machine that gets the bag's files with it."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch, Path(job.bag.path).absolute().name)
        if list(content) == [place.name]:  # the bag is one file, and not a folder
            folder = Path(scratch)
        else:
            folder = place
            folder.mkdir()
        for name, data in content.items():
            (folder / name).write_bytes(data)
        return perform(job, place, device=device, threads=threads, on_progress=_ignore)


def _ignore(_: float) -> None:
    """Ignore progress: over Ray only whole runs are counted."""


def _output(ray: ModuleType, reference: Any, job: Job) -> RunOutput:
    try:
        output: RunOutput = ray.get(reference)
    except ray.exceptions.RayError as error:  # its machine or process was lost
        return failure(job, f'{type(error).__name__}: {error}')
    return output
