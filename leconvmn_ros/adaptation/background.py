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

"""Adaptation in a separate process, so that a running decoder is not delayed.

The child runs `main` of this module. It reads a request from its standard input (a line of JSON,
then the samples) and answers with one line of JSON. It runs with low priority, on one thread, and
takes no other input.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
import json
import os
from pathlib import Path
import subprocess
import sys
from threading import Event, Thread
from typing import Any, BinaryIO, NamedTuple

from leconvmn_ros.adaptation.report import sentences
from leconvmn_ros.adaptation.turns import Rings
from leconvmn_ros.adaptation.unlabelled import adapt
from leconvmn_ros.core.child_program import answers_to_parent, child_command
from leconvmn_ros.core.errors import LeconvmnError
from leconvmn_ros.core.recording import EmgChunk, Recording
from leconvmn_ros.decoding.checkpoint import Checkpoint, Description
from leconvmn_ros.emg.electrode_map import ElectrodeMap
import numpy as np

# Name of the recording in the messages of the child.
_NAME = 'the newest EMG'
_LOW_PRIORITY = 15
_ONE_THREAD = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')
# An adaptation takes seconds, or a minute on a busy processor.
LONGEST = 120.0  # s


class Answer(NamedTuple):
    """The result of an adaptation.

    Attributes:
        adapted: whether it succeeded with sufficient confidence.
        electrode_map: the map to adopt in that case; None if the electrodes have not moved.
        words: the findings, or the reason of the failure.
    """

    adapted: bool
    electrode_map: ElectrodeMap | None
    words: str


class BackgroundAdaptation:
    """Runs one adaptation at a time."""

    def __init__(self, checkpoint: Checkpoint, rings: Rings, save_to: Path | None = None) -> None:
        """Prepare.

        Args:
            checkpoint: the decoder.
            rings: channels of each band in their order around the forearm.
            save_to: where an adapted decoder is saved; None = nowhere.
        """
        self._checkpoint = checkpoint
        self._rings = [list(ring) for ring in rings]
        self._save_to = save_to
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: Thread | None = None
        self._cancelled = Event()
        self._answer: Answer | None = None

    @property
    def running(self) -> bool:
        """Whether an answer is pending."""
        return self._thread is not None

    def start(self, chunks: Sequence[EmgChunk]) -> None:
        """Start an adaptation; `take` returns the answer later.

        Args:
            chunks: EMG with the decoder's channels and sampling rate.

        Raises:
            RuntimeError: an adaptation is already running.
        """
        if self.running:
            raise RuntimeError('an adaptation is running')
        self._answer, self._process, self._cancelled = None, None, Event()
        # Starting a process takes longer than a step of a decoder.
        thread = Thread(target=self._run, args=(chunks, self._cancelled), daemon=True)
        thread.start()
        self._thread = thread

    def take(self) -> Answer | None:
        """Return the answer, None while there is none; then another adaptation can be started."""
        if self._thread is None or self._thread.is_alive():
            return None
        self._thread = None
        return self._answer

    def close(self) -> None:
        """Stop a running adaptation; it gives no answer."""
        self._cancelled.set()
        if self._process is not None:
            self._process.kill()
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    def _run(self, chunks: Sequence[EmgChunk], cancelled: Event) -> None:
        try:
            self._answer = self._result(chunks, cancelled)
        except Exception as error:  # noqa: BLE001 - the caller waits for an answer, whatever happens
            self._answer = Answer(False, None, f'{type(error).__name__}: {error}')
        finally:
            if self._process is not None:
                self._process.kill()

    def _result(self, chunks: Sequence[EmgChunk], cancelled: Event) -> Answer:
        try:
            process = self._process = _child()
        except OSError as error:
            return Answer(False, None, f'no process can be started: {error}')
        if cancelled.is_set():  # before `close` could see the process
            process.kill()
        answer = _ask(process, self._request(chunks))
        if answer.adapted and self._save_to is not None and not cancelled.is_set():
            answer = self._saved(answer, self._save_to)
        return answer

    def _request(self, chunks: Sequence[EmgChunk]) -> bytes:
        header = {
            'description': self._checkpoint.description.model_dump_json(),
            'rings': self._rings,
            'chunks': [(c.stamp_ns, c.first_sample, len(c.samples)) for c in chunks],
        }
        samples = (np.ascontiguousarray(c.samples, dtype=np.float32).tobytes() for c in chunks)
        return b''.join((json.dumps(header).encode(), b'\n', *samples))

    def _saved(self, answer: Answer, folder: Path) -> Answer:
        description = self._checkpoint.description.model_copy(
            update={'electrode_map': answer.electrode_map}
        )
        try:
            replace(self._checkpoint, description=description).save(folder)
        except LeconvmnError as error:
            return answer._replace(words=f'{answer.words}; not saved: {error}')
        return answer._replace(words=f'{answer.words}; saved in {folder}')


def _child() -> 'subprocess.Popen[bytes]':
    process = subprocess.Popen(  # noqa: S603 - our own module
        child_command('leconvmn_ros.adaptation.background'),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | dict.fromkeys(_ONE_THREAD, '1'),
        # Ctrl-C is for the node, which ends the child.
        start_new_session=True,
    )
    with suppress(OSError):  # it has already ended, which `_ask` reports
        os.setpriority(os.PRIO_PROCESS, process.pid, _LOW_PRIORITY)
    return process


def _ask(process: 'subprocess.Popen[bytes]', request: bytes) -> Answer:
    try:
        said, errors = process.communicate(request, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Answer(False, None, f'no answer for {LONGEST:g} s')
    try:
        answer = json.loads(said)
        found = answer['electrode_map']
        return Answer(
            bool(answer['adapted']),
            None if found is None else ElectrodeMap.model_validate(found),
            str(answer['words']),
        )
    except (KeyError, TypeError, ValueError):
        last = errors.decode(errors='replace').strip().rpartition('\n')[2]
        return Answer(
            False, None, f'the adaptation ended with code {process.returncode}: {last[:300]}'
        )


def answer_to(request: BinaryIO) -> dict[str, Any]:
    """Read a request and adapt, in the child."""
    header = json.loads(request.readline())
    description = Description.model_validate_json(header['description'])
    path = description.signal_path
    chunks = []
    for stamp_ns, first_sample, count in header['chunks']:
        data = request.read(4 * count * path.channels)
        samples = np.frombuffer(data, dtype=np.float32).reshape(count, path.channels)
        chunks.append(EmgChunk(stamp_ns, path.sampling_rate, first_sample, samples))
    # The weights do not matter for the map.
    checkpoint = Checkpoint(description, {})
    try:
        adaptation = adapt(checkpoint, Recording(_NAME, chunks), header['rings'])
    except LeconvmnError as error:
        return {'adapted': False, 'electrode_map': None, 'words': str(error)}
    found = adaptation.checkpoint.description.electrode_map
    return {
        'adapted': True,
        'electrode_map': None if found is None else found.model_dump(mode='json'),
        'words': '; '.join(sentences(adaptation)),
    }


def main() -> None:
    """Answer one request, in the child."""
    say = answers_to_parent()
    say(answer_to(sys.stdin.buffer))
