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

"""How `wear` adapts the decoder of another day: a short session, then `adapt --prompted`."""

from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path

from leconvmn_ros.adaptation.prompted import adapt_prompted, templates_in
from leconvmn_ros.adaptation.rings import described_rings
from leconvmn_ros.adaptation.unlabelled import Adaptation
from leconvmn_ros.core.errors import CheckpointError, ConfigurationError, RecordingError
from leconvmn_ros.core.files import write_text
from leconvmn_ros.decoding.checkpoint import Checkpoint, load_checkpoint
from leconvmn_ros.recordings.bags import read_bag
from leconvmn_ros.recordings.description import common_description
from leconvmn_ros.training.reports import EpochReport
from leconvmn_ros.wearing.session import Session
from pydantic import ValidationError

# A session to adapt by lasts at least so long (s).
LEAST_DURATION = 30.0


def session_to_adapt_by(decoder: Path) -> Session:
    """Return the session of the training with as few repetitions as adaptation needs.

    Raises:
        ConfigurationError: the decoder cannot be adapted by a session; the message says why.
    """
    try:
        description = load_checkpoint(decoder).description
        templates_in(description)
    except CheckpointError as error:
        raise ConfigurationError(str(error)) from error
    texts = {each.get('guide', '') for each in description.training.information}
    try:
        sessions = [Session.model_validate_json(text) for text in sorted(texts)]
    except ValidationError as error:
        raise ConfigurationError(
            f'{decoder} was not trained on guided sessions, so the page does not know its '
            'movements'
        ) from error
    if not sessions:
        raise ConfigurationError(f'{decoder} was not trained on guided sessions')
    if len({session.model_dump_json(include={'movements'}) for session in sessions}) > 1:
        raise ConfigurationError(
            f'{decoder} was trained on sessions with different movements, whose numbers '
            'contradict each other'
        )
    once = len(sessions[0].movements) * sessions[0].period
    return sessions[0].model_copy(
        update={
            'name': 'Adapt',
            'note': 'Each movement once or twice, to adapt the decoder to how the band sits now.',
            'repetitions': ceil(LEAST_DURATION / once),
        }
    )


def write_session(session: Session, path: Path) -> None:
    """Write a session for the guide; JSON is YAML, too."""
    write_text(path, session.model_dump_json(indent=2) + '\n')


def adapted_by(
    decoder: Path, bags: Sequence[Path], on_epoch: Callable[[EpochReport], None]
) -> Adaptation:
    """Adapt a decoder by the longest bag of a session.

    Raises:
        ConfigurationError: nobody says how the electrodes sit.
        RecordingError: the session does not tell enough.
    """
    checkpoint = load_checkpoint(decoder)
    recordings = [read_bag(bag, reference_topic=None) for bag in bags]
    if not recordings:
        raise RecordingError('the session was ended before anything was recorded')
    recording = max(recordings, key=lambda each: each.span_ns[1] - each.span_ns[0])
    rings = _rings(checkpoint, bags)
    return adapt_prompted(checkpoint, recording, rings, on_epoch=on_epoch)


def _rings(checkpoint: Checkpoint, bags: Sequence[Path]) -> Sequence[Sequence[int]]:
    channels = checkpoint.description.signal_path.channels
    trained = described_rings(checkpoint.description.electrodes, channels)
    rings = trained or described_rings(common_description(list(bags)), channels)
    if not rings:
        raise ConfigurationError(
            'neither the decoder nor the source says how the electrodes sit around the forearm'
        )
    return rings
