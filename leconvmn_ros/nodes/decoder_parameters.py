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

"""The parameters of the decoder node, and the decoder that they define."""

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

# With two electrodes around an arm, a turn cannot be detected.
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


# Parameters that configure reads; they cannot be set while the node is configured.
_CONFIGURED = (
    _configured(
        'checkpoint', '', 'folder of a trained decoder (checkpoint.json, weights.safetensors)'
    ),
    _configured('device', 'auto', 'torch device: auto (a GPU if there is one), cpu, cuda'),
    _configured(
        'engine',
        'auto',
        'engine of the network; auto: ONNX Runtime on a CPU, a captured graph on a GPU',
        choices=ENGINE_NAMES,
    ),
    _configured(
        'output_rate',
        DEFAULT_OUTPUT_RATE,
        'estimates per second (Hz), 0 = one per image',
        (0.0, 1000.0),
    ),
    _configured('threads', 0, 'CPU threads of the network, 0 = as many as it needs', (0, 256)),
    _configured(
        'input_timeout',
        0.2,
        'time without EMG after which the input is stale (s), 0 = never; must exceed a message',
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
        'reject EMG whose stamp is older than this on arrival (s), 0 = none; source and node must '
        'share a clock (with a replay: use_sim_time)',
        (0.0, 3600.0),
    ),
    _configured(
        'longest_wait',
        0.5,
        'drop EMG that has waited longer in the queue (s), 0 = none, so that a slow decoder stays '
        'in the present; no effect if lossless, or if the middleware does not report times of '
        'arrival',
        (0.0, 60.0),
    ),
    _configured(
        'speed_limit',
        0.0,
        'largest speed of an angle between estimates (rad/s), 0 = none',
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
        'duration of the newest EMG for ~/adapt (s), at most 64 MiB; 0 = no adaptation',
        (0.0, 600.0),
    ),
    _configured(
        'ring_size',
        0,
        'electrodes of each band around the forearm, in the order of the channels; 0 = as in the '
        'checkpoint',
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
# Those of them that `Decoder` takes.
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
    """The reaction to missing EMG, and to more than can be decoded.

    Attributes:
        timeout: time after which the input is stale (s); 0 = never.
        rest: whether to publish the rest pose then.
        longest_wait: time in the queue after which a message is dropped (s); 0 = never.
    """

    timeout: float
    rest: bool
    longest_wait: float


def read_input_rule(node: Node) -> InputRule:
    """Read the reaction to missing EMG, and to more than can be decoded."""
    # With back-pressure, messages may wait for any time.
    held_back = node.get_parameter('lossless').value
    return InputRule(
        node.get_parameter('input_timeout').value,
        node.get_parameter('when_stale').value == REST,
        0.0 if held_back else node.get_parameter('longest_wait').value,
    )


class LoadedDecoder(NamedTuple):
    """A loaded decoder.

    Attributes:
        decoder: the decoder.
        checkpoint: its checkpoint.
        model: its name for users.
    """

    decoder: Decoder
    checkpoint: Checkpoint
    model: str


def load_decoder(node: Node) -> LoadedDecoder:
    """Load and warm up the decoder that the parameters define.

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
    # Exclude everything loaded so far from garbage collection, to keep its runs short.
    gc.collect()
    gc.freeze()
    return LoadedDecoder(decoder, checkpoint, f'{checkpoint.description.model.kind}, {folder}')


def make_adaptation(node: Node, checkpoint: Checkpoint) -> BackgroundAdaptation | str:
    """Prepare ~/adapt; return in words why it is unavailable, if it is.

    Raises:
        LeconvmnError: a parameter has an impossible value.
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
        if Path(place).resolve() == Path(node.get_parameter('checkpoint').value).resolve():
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
            'the checkpoint does not know the order of the electrodes around the forearm; set the '
            f'parameter ring_size, such as {channels} for one ring of all channels'
        )
    return BackgroundAdaptation(checkpoint, rings, Path(place) if place else None)


def _given_rings(size: int, channels: int) -> Rings:
    """Return rings of this size; none if it is 0.

    Raises:
        ConfigurationError: they do not cover all channels.
    """
    if not size:
        return ()
    if size < LEAST_RING or channels % size:
        raise ConfigurationError(
            f'parameter ring_size is {size}; allowed are {LEAST_RING} and more that divide '
            f'{channels}, the number of channels'
        )
    return consecutive_rings([size] * (channels // size), channels)
