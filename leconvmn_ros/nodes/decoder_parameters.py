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

"""The parameters of the decoder node, and the decoder that they describe."""

import gc
from pathlib import Path
from typing import NamedTuple

from leconvmn_ros.adaptation.background import BackgroundAdaptation
from leconvmn_ros.adaptation.rings import consecutive_rings, described_rings
from leconvmn_ros.adaptation.turns import Rings
from leconvmn_ros.adaptation.unlabelled import mixture_in
from leconvmn_ros.core.errors import ConfigurationError, LeconvmnError, printable
from leconvmn_ros.decoding.checkpoint import check_place, Checkpoint, load_checkpoint
from leconvmn_ros.decoding.decoder import Decoder, DEFAULT_OUTPUT_RATE
from leconvmn_ros.engines.registry import ENGINE_NAMES
from leconvmn_ros.nodes.parameters import LOSSLESS, Parameter, Value
from rclpy.node import Node

# Around an arm that turned, two electrodes tell nothing.
LEAST_RING = 3
STOP, REST = 'stop', 'rest'


def _configured(
    name: str,
    default: Value,
    description: str,
    allowed: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
) -> Parameter:
    return Parameter(name, default, description, allowed, choices, read_only=False)


# What configure reads; while the node is configured they cannot be set.
_CONFIGURED = (
    _configured(
        'checkpoint', '', 'folder of a trained decoder (checkpoint.json, weights.safetensors)'
    ),
    _configured('device', 'auto', 'torch device: auto (a GPU if there is one), cpu, cuda'),
    _configured(
        'engine',
        'auto',
        'what runs the network; auto: ONNX Runtime on a CPU, a captured graph on a GPU',
        choices=ENGINE_NAMES,
    ),
    _configured(
        'output_rate',
        DEFAULT_OUTPUT_RATE,
        'estimates per second (Hz), 0 = one per image',
        (0.0, 1000.0),
    ),
    _configured(
        'threads', 0, 'CPU threads of the network, 0 = as many as its size asks for', (0, 256)
    ),
    _configured(
        'input_timeout',
        0.2,
        'without EMG for so long the input is stale (s), 0 = never; longer than between messages',
        (0.0, 60.0),
    ),
    _configured(
        'when_stale',
        STOP,
        f'{STOP} = publish nothing; {REST} = publish the mean angles of training',
        choices=(STOP, REST),
    ),
    _configured(
        'greatest_age',
        0.0,
        'refuse EMG whose stamp is older when it arrives (s), 0 = none; needs a source and a node '
        'of one clock (with a replay: use_sim_time)',
        (0.0, 3600.0),
    ),
    _configured(
        'longest_wait',
        0.5,
        'drop EMG that waited longer in the queue (s), 0 = none: a decoder that does not keep up '
        'stays in the present; without effect if lossless, or if the middleware does not '
        'tell when a message arrived',
        (0.0, 60.0),
    ),
    _configured(
        'speed_limit',
        0.0,
        'greatest speed of an angle from estimate to estimate (rad/s), 0 = any',
        (0.0, 1000.0),
    ),
    _configured(
        'follow_drift',
        False,
        'follow slow drift of each channel during movement, within bounds',
    ),
    _configured(
        'adapt_seconds',
        90.0,
        'newest EMG that ~/adapt works with (s), at most 64 MiB; 0 = no adaptation',
        (0.0, 600.0),
    ),
    _configured(
        'ring_size',
        0,
        'electrodes of each band around the forearm, in the order of the channels; 0 = as the '
        'checkpoint says',
        (0, 256),
    ),
    _configured(
        'adapted_checkpoint',
        '',
        'folder in which ~/adapt saves the adapted decoder; empty = it lasts until the node is '
        'cleaned up',
    ),
)
NAMES = frozenset(parameter.name for parameter in _CONFIGURED)
# Those that the decoder itself takes.
_OF_DECODER = (
    *('output_rate', 'device', 'engine', 'threads', 'greatest_age', 'speed_limit'),
    'follow_drift',
)
PARAMETERS = (
    *_CONFIGURED,
    Parameter('autostart', True, 'configure and activate without a lifecycle manager'),
    LOSSLESS,
)


class InputRule(NamedTuple):
    """What to do when no EMG comes, or more than can be decoded.

    Attributes:
        timeout: time after which the input is stale (s); 0 = never.
        rest: whether to publish the rest pose then.
        longest_wait: time in the queue after which a message is dropped (s); 0 = never.
    """

    timeout: float
    rest: bool
    longest_wait: float


def read_input_rule(node: Node) -> InputRule:
    """Read what to do when no EMG comes, or more than can be decoded."""
    # Held back, no message is too many.
    held_back = node.get_parameter('lossless').value
    return InputRule(
        node.get_parameter('input_timeout').value,
        node.get_parameter('when_stale').value == REST,
        0.0 if held_back else node.get_parameter('longest_wait').value,
    )


class LoadedDecoder(NamedTuple):
    """A decoder that is ready.

    Attributes:
        decoder: it.
        checkpoint: what it was made of.
        model: which one it is, in words.
    """

    decoder: Decoder
    checkpoint: Checkpoint
    model: str


def load_decoder(node: Node) -> LoadedDecoder:
    """Load and warm the decoder that the parameters describe.

    Raises:
        LeconvmnError: there is no such decoder.
    """
    folder = node.get_parameter('checkpoint').value
    if not folder:
        raise ConfigurationError(
            'parameter checkpoint is empty; give the folder of a trained decoder'
        )
    checkpoint = load_checkpoint(Path(folder))
    decoder = Decoder(
        checkpoint,
        remember=node.get_parameter('adapt_seconds').value,
        **{name: node.get_parameter(name).value for name in _OF_DECODER},
    )
    step = decoder.warm_up()
    node.get_logger().info(
        f'{printable(str(folder))}: '
        f'{decoder.channels} channels at {decoder.sampling_rate:g} Hz in, '
        f'{len(decoder.joint_names)} joints at {decoder.output_rate:g} Hz out; '
        f'a step takes {1e3 * step:.1f} ms of {1e3 / decoder.output_rate:.1f} ms '
        f'(engine {decoder.engine})'
    )
    # What is there now stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    return LoadedDecoder(decoder, checkpoint, f'{checkpoint.description.model.kind}, {folder}')


def make_adaptation(node: Node, checkpoint: Checkpoint) -> BackgroundAdaptation | str:
    """Prepare what ~/adapt runs; return why it cannot be used, in words, if it cannot.

    Raises:
        LeconvmnError: a parameter asks for something that is not possible.
    """
    channels = checkpoint.description.signal_path.channels
    known = described_rings(checkpoint.description.electrodes, channels)
    rings = _given_rings(node.get_parameter('ring_size').value, channels) or known
    if known and [*map(list, known)] != [*map(list, rings)]:
        raise ConfigurationError(
            f'parameter ring_size gives the rings {rings}, the checkpoint says {known}'
        )
    place = node.get_parameter('adapted_checkpoint').value
    if place:
        if Path(place).absolute() == Path(node.get_parameter('checkpoint').value).absolute():
            raise ConfigurationError(
                'parameter adapted_checkpoint is the folder of the checkpoint itself; name another'
            )
        check_place(Path(place))
    if not node.get_parameter('adapt_seconds').value:
        return 'parameter adapt_seconds is 0'
    try:
        mixture_in(checkpoint.description)
    except LeconvmnError as error:
        return str(error)
    if not rings:
        return (
            'the checkpoint does not say how the electrodes sit around the forearm; parameter '
            f'ring_size says it, such as {channels} for one ring of all channels'
        )
    return BackgroundAdaptation(checkpoint, rings, Path(place) if place else None)


def _given_rings(size: int, channels: int) -> Rings:
    """Return rings of this size; none if it is 0.

    Raises:
        ConfigurationError: they are not all channels.
    """
    if not size:
        return ()
    if size < LEAST_RING or channels % size:
        raise ConfigurationError(
            f'parameter ring_size is {size}; allowed are {LEAST_RING} and more that divide '
            f'{channels}, the number of channels'
        )
    return consecutive_rings([size] * (channels // size), channels)
