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

"""What `leconvmn_ros adapt` does; its arguments are in parsers/adapt.py."""

import argparse
from itertools import accumulate, pairwise

from leconvmn_ros.adaptation.turns import Rings
from leconvmn_ros.adaptation.unlabelled import adapt, Adaptation, mixture_in, turn_words
from leconvmn_ros.commands.progress import progress_bar, remark, say
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.decoding.checkpoint import check_place, Description, load_checkpoint
from leconvmn_ros.emg.description import EmgDescription
from leconvmn_ros.recordings.bags import read_bag
from leconvmn_ros.recordings.description import read_description
import numpy as np


def run(arguments: argparse.Namespace) -> int:
    """Read, compare, say what was found, write."""
    checkpoint = load_checkpoint(arguments.checkpoint)
    mixture_in(checkpoint.description)
    check_place(arguments.output)
    rings = _rings(arguments, checkpoint.description)
    with progress_bar(f'read {arguments.bag.name}'):
        recording = read_bag(
            arguments.bag, emg_topic=arguments.emg_topic, reference_topic=None, label_topic=None
        )
    for line in recording.remarks:
        remark(f'{recording.name}: {line}')
    adaptation = adapt(checkpoint, recording, rings, least_confidence=arguments.least_confidence)
    adaptation.checkpoint.save(arguments.output)
    _report(adaptation)
    say(f'{arguments.output}: {"adapted" if adaptation.moved else "nothing to adapt"}')
    return 0


def _report(adaptation: Adaptation) -> None:
    found = adaptation.found
    say(
        f'electrodes: {turn_words(found)} (confidence {found.confidence:.2f}, '
        f'{found.advantage:.2f} nats per sample ahead, {adaptation.duration:.0f} s of EMG)'
    )
    if not adaptation.matched:
        say('gains: as in the training, as far as this EMG tells')
        return
    shifts = adaptation.shifts
    largest = int(np.argmax(np.abs(shifts)))
    say(
        f'gains: mean features were off by {np.median(np.abs(shifts)):.2f} standard deviations '
        f'of the training (median of the channels), at most by {shifts[largest]:+.2f} (at channel '
        f'{largest} of the training)'
    )


def _rings(arguments: argparse.Namespace, known: Description) -> Rings:
    """Return the rings of electrodes: of the decoder, of the bag, or as --rings says.

    Raises:
        ConfigurationError: nobody says it, or they contradict each other.
    """
    channels = known.signal_path.channels
    trained, now = known.electrodes, read_description(arguments.bag)
    found = _usable(trained, channels)
    of_bag = _usable(now, channels)
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
    given = tuple(
        tuple(range(first, end)) for first, end in pairwise(accumulate(arguments.rings, initial=0))
    )
    if sum(arguments.rings) != channels:
        raise ConfigurationError(
            f'--rings names {sum(arguments.rings)} electrodes; the decoder has {channels}'
        )
    if found and found != given:
        raise ConfigurationError(f'--rings gives {given}, the recordings say {found}')
    return given


def _usable(description: EmgDescription | None, channels: int) -> Rings:
    if description is None or len(description.channels) != channels:
        return ()
    return description.rings
