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

"""Adaptation in a process of its own gives what it gives here, and holds nothing up."""

import os
import subprocess
import sys
import time

from builders import evenly_cut
from leconvmn_ros.adaptation.background import BackgroundAdaptation
from leconvmn_ros.adaptation.unlabelled import adapt
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.decoding.checkpoint import load_checkpoint
import pytest
from worn_band import RING, turned, worn_band

PATIENCE = 150.0  # s
LOW_PRIORITY = 15


def session(electrodes, seconds=72):
    band = worn_band()
    emg = turned(band.emg, electrodes)[: round(seconds * band.rate)]
    return evenly_cut(emg, 1000, band.rate)


def answer_of(job):
    deadline = time.monotonic() + PATIENCE
    while (answer := job.take()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return answer


def process_of(job):
    """Return the child, once it has its priority."""
    deadline = time.monotonic() + PATIENCE
    while (process := job._process) is None or (
        os.getpriority(os.PRIO_PROCESS, process.pid) != LOW_PRIORITY
    ):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return process


@pytest.fixture
def job():
    job = BackgroundAdaptation(worn_band().checkpoint, RING)
    yield job
    job.close()


def test_the_child_finds_what_is_found_here(job):
    chunks = session(1)
    job.start(chunks)
    answer = answer_of(job)
    here = adapt(worn_band().checkpoint, Recording('here', chunks), RING)
    assert answer.adapted
    assert answer.electrode_map == here.checkpoint.description.electrode_map
    assert 'turned by -1 electrodes (confidence ' in answer.words


def test_where_nothing_moved_there_is_no_map(job):
    job.start(session(0))
    answer = answer_of(job)
    assert answer.adapted
    assert answer.electrode_map is None
    assert 'as in the training' in answer.words


def test_too_little_emg_is_refused_and_then_it_can_be_tried_again(job):
    for chunks in (session(0, 10), []):
        job.start(chunks)
        answer = answer_of(job)
        assert not answer.adapted
        assert 'at least 25 s are needed' in answer.words or 'has no EMG' in answer.words
        assert not job.running


def test_there_is_one_at_a_time_and_it_has_low_priority(job):
    assert not job.running
    job.start(session(1))
    assert process_of(job).poll() is None
    with pytest.raises(RuntimeError, match='is running'):
        job.start(session(1))
    assert answer_of(job).adapted
    assert job.take() is None


def test_closing_ends_the_child_at_once(job):
    job.start(session(1))
    process = process_of(job)
    started = time.monotonic()
    job.close()
    assert time.monotonic() - started < PATIENCE / 4
    assert process.poll() is not None
    assert job.take() is None


def test_the_adapted_decoder_is_saved_where_the_operator_said(tmp_path):
    checkpoint = worn_band().checkpoint
    job = BackgroundAdaptation(checkpoint, RING, tmp_path / 'adapted')
    job.start(session(1))
    answer = answer_of(job)
    assert f'saved in {tmp_path / "adapted"}' in answer.words
    saved = load_checkpoint(tmp_path / 'adapted')
    assert saved.description.electrode_map == answer.electrode_map
    assert saved.weights.keys() == checkpoint.weights.keys()
    # A refusal writes nothing.
    before = (tmp_path / 'adapted' / 'checkpoint.json').stat().st_mtime_ns
    job.start(session(1, 10))
    assert not answer_of(job).adapted
    assert (tmp_path / 'adapted' / 'checkpoint.json').stat().st_mtime_ns == before


def test_what_cannot_be_saved_is_adopted_all_the_same(tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'letter.txt').write_text('not a checkpoint')
    job = BackgroundAdaptation(worn_band().checkpoint, RING, tmp_path / 'mine')
    job.start(session(1))
    answer = answer_of(job)
    assert answer.electrode_map is not None
    assert 'not saved: ' in answer.words
    assert [path.name for path in (tmp_path / 'mine').iterdir()] == ['letter.txt']


def test_where_no_process_can_be_started_there_is_an_answer(job, monkeypatch):
    monkeypatch.setattr(sys, 'executable', '/nowhere/python')
    job.start(session(1))
    answer = answer_of(job)
    assert not answer.adapted
    assert 'no process can be started' in answer.words


def test_an_error_that_nobody_expects_is_an_answer(job, monkeypatch):
    def fail(*_):
        raise MemoryError('no memory')

    monkeypatch.setattr(job, '_request', fail)
    job.start(session(1))
    answer = answer_of(job)
    assert not answer.adapted
    assert answer.words == 'MemoryError: no memory'
    assert not job.running
    assert job._process.wait(PATIENCE) != 0


def test_no_torch_is_imported():
    code = 'import leconvmn_ros.adaptation.background, sys; assert "torch" not in sys.modules'
    subprocess.run([sys.executable, '-c', code], check=True)
