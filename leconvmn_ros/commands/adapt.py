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

"""The command `leconvmn_ros adapt`; its arguments are in parsers/adapt.py."""

import argparse
from typing import TYPE_CHECKING

from leconvmn_ros.adaptation.report import sentences
from leconvmn_ros.adaptation.rings import consecutive_rings, described_rings
from leconvmn_ros.adaptation.turns import Rings
from leconvmn_ros.adaptation.unlabelled import adapt, Adaptation, mixture_in
from leconvmn_ros.commands.progress import progress_bar, remark, say
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.recording import Recording
from leconvmn_ros.decoding.checkpoint import check_place, Checkpoint, Description, load_checkpoint
from leconvmn_ros.recordings.bags import read_bag
from leconvmn_ros.recordings.description import read_description

if TYPE_CHECKING:
    from leconvmn_ros.training.reports import EpochReport


def run(arguments: argparse.Namespace) -> int:
    """Read the bag, adapt the decoder, report the findings and write the result."""
    checkpoint = load_checkpoint(arguments.checkpoint)
    mixture_in(checkpoint.description)
    check_place(arguments.output)
    rings = _rings(arguments, checkpoint.description)
    with progress_bar(f'read {arguments.bag.name}'):
        recording = read_bag(
            arguments.bag,
            emg_topic=arguments.emg_topic,
            reference_topic=None,
            label_topic=arguments.label_topic if arguments.prompted else None,
        )
    for line in recording.remarks:
        remark(f'{recording.name}: {line}')
    way = _prompted if arguments.prompted else _unlabelled
    adaptation = way(checkpoint, recording, rings, arguments)
    adaptation.checkpoint.save(arguments.output)
    if arguments.prompted and not adaptation.prompted:
        remark(
            f'{recording.name}: labels not used, since it asks for few of the movements of the '
            'training; adapted by the EMG alone'
        )
    for line in sentences(adaptation):
        say(line)
    say(f'{arguments.output}: {"adapted" if adaptation.moved else "nothing to adapt"}')
    return 0


def _unlabelled(
    checkpoint: Checkpoint, recording: Recording, rings: Rings, arguments: argparse.Namespace
) -> Adaptation:
    return adapt(checkpoint, recording, rings, least_confidence=arguments.least_confidence)


def _prompted(
    checkpoint: Checkpoint, recording: Recording, rings: Rings, arguments: argparse.Namespace
) -> Adaptation:
    # Only prompted adaptation trains, so only it needs PyTorch.
    from leconvmn_ros.adaptation.prompted import adapt_prompted  # noqa: PLC0415

    with progress_bar('fine-tune') as progress:

        def on_epoch(report: 'EpochReport') -> None:
            progress(report.epoch / report.epochs, report.text())

        return adapt_prompted(
            checkpoint,
            recording,
            rings,
            least_confidence=arguments.least_confidence,
            seed=arguments.seed,
            on_epoch=on_epoch,
        )


def _rings(arguments: argparse.Namespace, known: Description) -> Rings:
    """Return the rings of electrodes: of the decoder, of the bag, or from --rings.

    Raises:
        ConfigurationError: none of them describes the rings, or they contradict each other.
    """
    channels = known.signal_path.channels
    trained, now = known.electrodes, read_description(arguments.bag)
    found = described_rings(trained, channels)
    of_bag = described_rings(now, channels)
    if found and of_bag and found != of_bag:
        raise ConfigurationError(
            f'the decoder was trained with rings {found}, {arguments.bag.name} has {of_bag}'
        )
    found = found or of_bag
    if arguments.rings is None:
        if not found:
            raise ConfigurationError(
                'neither the decoder nor the bag says how the electrodes sit around the forearm; '
                f'--rings says it, such as --rings {channels} for one ring of all channels'
            )
        return found
    given = consecutive_rings(arguments.rings, channels)
    if found and found != given:
        raise ConfigurationError(f'--rings gives {given}, the recordings say {found}')
    return given
