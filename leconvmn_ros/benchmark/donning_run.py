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

"""One run of the protocol `redonning`: train, adapt to each new session, score.

Every kind of adaptation gets the same part of a session and is scored on its other repetitions, in
shuffled order. A decoder that could not be adapted is scored unchanged.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
import traceback
from typing import NamedTuple

from leconvmn_ros.adaptation.prompted import adapt_prompted
from leconvmn_ros.adaptation.rings import consecutive_rings, described_rings
from leconvmn_ros.adaptation.turns import Rings
from leconvmn_ros.adaptation.unlabelled import adapt
from leconvmn_ros.benchmark.calibration import split, SplitSession
from leconvmn_ros.benchmark.changes import bands, Change, drawn_change
from leconvmn_ros.benchmark.donning_plan import DonningJob
from leconvmn_ros.benchmark.results import (
    CHECKPOINT_FOLDER,
    Donned,
    DonningScore,
    read_result,
    RunOutput,
    Scored,
)
from leconvmn_ros.benchmark.run import environment, failure, result_of
from leconvmn_ros.core.errors import ConfigurationError, LeconvmnError, RecordingError
from leconvmn_ros.core.recording import NANOSECONDS, Recording
from leconvmn_ros.dataset.hold_out import (
    default_hold_out,
    HoldOut,
    NoHoldOut,
    RepetitionHoldOut,
)
from leconvmn_ros.decoding.checkpoint import Checkpoint, load_checkpoint
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.decoding.history import overlap_of
from leconvmn_ros.emg.description import EmgDescription
from leconvmn_ros.evaluation.comparison import Comparison, join
from leconvmn_ros.evaluation.metrics import as_json
from leconvmn_ros.evaluation.shuffled_order import decode_shuffled, ShuffledStream
from leconvmn_ros.recordings.bags import read_bag
from leconvmn_ros.recordings.description import read_description
from leconvmn_ros.training.run import train
import numpy as np
import torch

AS_IT_IS = 'none'


class _Trained(NamedTuple):
    """A decoder and a description of its training data."""

    checkpoint: Checkpoint
    on: str


class _Place(NamedTuple):
    """A session in the table, and the seed of everything drawn for it."""

    name: str
    draw: int
    seed: tuple[int, ...]


def perform_donnings(
    job: DonningJob, *, device: str, threads: int, on_progress: Callable[[float], None]
) -> RunOutput:
    """Do one run; a failure is returned as its result.

    Args:
        job: what to do.
        device: 'auto', 'cpu' or 'cuda', see `find_device`.
        threads: CPU threads.
        on_progress: called with the share done, 0 to 1.
    """
    try:
        torch.set_num_threads(threads)
        run = _Run(job, device, threads, on_progress)
        scores = tuple(run.virtual() if job.options.changes else run.real())
        outcome = Donned(scores=scores, environment=environment(device, threads))
        return RunOutput(result_of(job, outcome), {})
    except LeconvmnError as error:
        return failure(job, str(error))
    except Exception as error:  # noqa: BLE001 - the other runs go on
        return failure(job, f'{type(error).__name__}: {error}', traceback.format_exc())


class _Run:
    """The steps of one run, with their shared state."""

    def __init__(
        self, job: DonningJob, device: str, threads: int, on_progress: Callable[[float], None]
    ) -> None:
        self._job, self._options = job, job.options
        self._device, self._threads = device, threads
        self._on_progress = on_progress
        paths = [Path(each.bag.path) for each in job.person.sessions]
        topics = job.topics
        self._recordings = [
            read_bag(
                path,
                emg_topic=topics.emg,
                reference_topic=topics.reference,
                label_topic=topics.label,
            )
            for path in paths
        ]
        self._electrodes = read_description(paths[0])
        self._rings = rings_of(self._options.rings, self._electrodes, self._recordings[0])
        if 'second_band' in self._options.changes:
            bands(self._rings)  # fails early
        self._seed = (job.settings.seed, int(job.person.sessions[0].bag.sha256[:8], 16))

    def real(self) -> Iterator[DonningScore]:
        """Train on the first sessions, score the later ones."""
        recordings, counts = self._recordings, self._options.train_sessions
        later = recordings[min(counts) :] if self._options.upper_bound else []
        steps = len(counts) + len(later)
        for done, count in enumerate(counts):
            on = '1 session' if count == 1 else f'{count} sessions'
            trained = _Trained(self._train(recordings[:count], NoHoldOut()), on)
            for number, recording in enumerate(recordings[count:], start=count):
                if overlap := overlap_of(
                    recording, None, trained.checkpoint.description.training.learnt
                ):
                    raise RecordingError(
                        f'{recording.name} is not a new session: {overlap.text()}'
                    )
                place = _Place(self._session(number), 0, (*self._seed, number))
                yield from self._adapted(trained, split(recording, None), place, self._rings)
            self._on_progress((done + 1) / steps)
        for number, recording in enumerate(later, start=min(counts)):
            yield self._upper_bound(recording, self._session(number), number)
            self._on_progress((len(counts) + number + 1 - min(counts)) / steps)

    def _session(self, number: int) -> str:
        return self._job.person.sessions[number].name

    def _upper_bound(self, recording: Recording, name: str, number: int) -> DonningScore:
        """Train on all repetitions of a session but the last one, and score that."""
        labels = recording.labels
        last = 0 if labels is None else int(labels.repetition.max())
        hold_out = RepetitionHoldOut(test=(max(1, last),))
        trained = _Trained(self._train([recording], hold_out), 'this session')
        session = split(recording, None)
        scored = tuple(each for each in session.scored if each.label.repetition == last)
        session = SplitSession(
            session.name, session.sampling_rate, session.calibration, scored, session.reference
        )
        place = _Place(name, 0, (*self._seed, number))
        return self._score(trained, session, place, AS_IT_IS)

    def virtual(self) -> Iterator[DonningScore]:
        """Create sessions by applying changes to the held-out part of the recording."""
        (recording,) = self._recordings
        steps = len(self._options.changes)
        trained = None
        for done, change in enumerate(self._options.changes):
            if change == 'second_band':
                yield from self._second_band(recording)
            else:
                trained = trained or _Trained(self._trained_before(recording), 'recording')
                yield from self._changed(trained, recording, change)
            self._on_progress((done + 1) / steps)

    def _changed(
        self, trained: _Trained, recording: Recording, change: Change
    ) -> Iterator[DonningScore]:
        description = trained.checkpoint.description
        session = split(recording, description.training.hold_out)
        channels = description.signal_path.channels
        for draw in range(self._options.draws):
            place = _Place(change, draw, (*self._seed, draw))
            random = np.random.default_rng([*place.seed, *change.encode()])
            changed = session.changed(drawn_change(change, channels, self._rings, random))
            yield from self._adapted(trained, changed, place, self._rings)

    def _second_band(self, recording: Recording) -> Iterator[DonningScore]:
        """Train on the first band of electrodes, and decode the second one in its place."""
        first, second = (_only(recording, channels, 'band') for channels in bands(self._rings))
        hold_out = default_hold_out(recording)
        rings = (tuple(range(len(self._rings[0]))),)
        trained = _Trained(self._train([first], hold_out, described=False), 'first band')
        learnt = trained.checkpoint.description.training.hold_out
        place = _Place('second_band', 0, (*self._seed, 0))
        unmoved = split(first, learnt)
        yield self._score(trained, unmoved, place._replace(name='first_band'), AS_IT_IS)
        for draw in range(self._options.draws):
            place = _Place('second_band', draw, (*self._seed, draw))
            yield from self._adapted(trained, split(second, learnt), place, rings)
        if not self._options.upper_bound:
            return
        bound = _Trained(self._train([second], hold_out, described=False), 'second band')
        yield self._score(bound, split(second, learnt), place._replace(draw=0), AS_IT_IS)

    def _adapted(
        self, trained: _Trained, session: SplitSession, place: _Place, rings: Rings
    ) -> Iterator[DonningScore]:
        """Score a session without adaptation and with each kind of it."""
        yield self._score(trained, session, place, AS_IT_IS)
        for seconds in self._options.unlabelled:
            yield self._after(trained, session, place, rings, seconds, prompted=False)
        for seconds in self._options.prompted:
            yield self._after(trained, session, place, rings, seconds, prompted=True)

    def _after(
        self,
        trained: _Trained,
        session: SplitSession,
        place: _Place,
        rings: Rings,
        seconds: float,
        *,
        prompted: bool,
    ) -> DonningScore:
        """Adapt by a calibration, and score; unless prompted, it has no labels."""
        random = np.random.default_rng(place.seed)
        recording = session.calibration_recording(seconds, random, labelled=prompted)
        method = f'{"prompted" if prompted else "unlabelled"} {seconds:g} s'
        refused = ''
        try:
            if prompted:
                seed = self._job.settings.seed
                checkpoint = adapt_prompted(
                    trained.checkpoint, recording, rings, seed=seed
                ).checkpoint
            else:
                checkpoint = adapt(trained.checkpoint, recording, rings).checkpoint
        except RecordingError as error:
            checkpoint, refused = trained.checkpoint, str(error)
        first, last = recording.span_ns
        adapted = trained._replace(checkpoint=checkpoint)
        return self._score(
            adapted, session, place, method, seconds=(last - first) / 1e9, refused=refused
        )

    def _score(
        self,
        trained: _Trained,
        session: SplitSession,
        place: _Place,
        method: str,
        *,
        seconds: float = 0.0,
        refused: str = '',
    ) -> DonningScore:
        decoder = Decoder(trained.checkpoint, device=self._device, threads=self._threads)
        streams = decode_shuffled(
            decoder,
            session.scored,
            session.reference,
            orders=self._options.orders,
            seed=place.seed[-1],
        )
        settled = [_settled(stream, self._options.settle) for stream in streams]
        scores = as_json(join(settled).score())
        return DonningScore(
            session=place.name,
            draw=place.draw,
            trained_on=trained.on,
            method=method,
            seconds=seconds,
            cc=scores['mean']['cc'],
            refused=refused,
        )

    def _trained_before(self, recording: Recording) -> Checkpoint:
        """Return the decoder of the usual benchmark of this recording, trained if need be."""
        training = self._job.training
        if self._job.decoders is not None:
            folder = Path(self._job.decoders) / training.folder
            result = read_result(folder)
            # With another key it would be another decoder.
            same = result if result is not None and result.key == training.key else None
            if same is not None and isinstance(same.outcome, Scored):
                return load_checkpoint(folder / CHECKPOINT_FOLDER)
        return self._train([recording], None)

    def _train(
        self, recordings: list[Recording], hold_out: HoldOut | None, *, described: bool = True
    ) -> Checkpoint:
        settings = self._job.settings.model_copy(update={'threads': self._threads})
        if len(recordings) > 1 and 'donnings' in type(settings.fit).model_fields:
            settings = settings.changed('fit', donnings=True)
        return train(
            recordings,
            settings,
            hold_out=hold_out,
            device=self._device,
            electrodes=self._electrodes if described else None,
        )


def rings_of(sizes: tuple[int, ...], known: EmgDescription | None, recording: Recording) -> Rings:
    """Return the rings of electrodes: by their sizes, or as the bag describes them.

    Raises:
        ConfigurationError: neither describes them, or the sizes do not fit the recording.
    """
    channels = recording.chunks[0].samples.shape[1]
    if sizes:
        return consecutive_rings(sizes, channels)
    rings = described_rings(known, channels)
    if not rings:
        raise ConfigurationError(
            f'{recording.name} does not say how its electrodes sit around the forearm; --rings '
            f'says it, such as --rings {channels} for one ring of all channels'
        )
    return rings


def _settled(stream: ShuffledStream, seconds: float) -> Comparison:
    """Return the comparison without the first seconds after each change of the movement."""
    comparison = stream.comparison
    changes = np.array([ns for each in stream.repetitions for ns in (each.start_ns, each.rest_ns)])
    latest = changes[np.searchsorted(changes, comparison.stamps_ns, side='right') - 1]
    return comparison.part(comparison.stamps_ns - latest >= seconds * NANOSECONDS)


def _only(recording: Recording, channels: Sequence[int], what: str) -> Recording:
    """Return a recording with only some of its channels."""
    chunks = [
        chunk._replace(samples=np.ascontiguousarray(chunk.samples[:, list(channels)]))
        for chunk in recording.chunks
    ]
    return Recording(
        f'{recording.name} ({what} from channel {channels[0]})',
        chunks,
        recording.reference,
        recording.labels,
        recording.information,
    )
