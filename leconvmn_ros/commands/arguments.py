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

"""Argument types and options that several commands share."""

import argparse
from collections.abc import Callable, Collection
from math import isfinite
from pathlib import Path
from typing import Any, get_args

from leconvmn_ros.commands.output_file import output_file
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.strict_model import first_problem
from leconvmn_ros.dataset.hold_out import Protocol
from leconvmn_ros.dataset.reference_lag import MOST_LAG
from leconvmn_ros.engines.registry import AUTO, check_engine, ENGINE_NAMES
from leconvmn_ros.recordings.bag_types import (
    EMG_TOPIC,
    LABEL_TOPIC,
    REFERENCE_TOPIC,
)
from pydantic import BaseModel, ValidationError

# Wording of the limits in a JSON schema.
_LIMITS = {
    'exclusiveMinimum': 'above',
    'minimum': 'at least',
    'exclusiveMaximum': 'below',
    'maximum': 'at most',
}


def number(kind: type[float], least: float, most: float) -> Callable[[str], float]:
    """Return an argparse type: an int or a float from `least` to `most`."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind('nan') if kind is float else kind(least - 1)
        if not (isfinite(value) and least <= value <= most):
            what = 'a whole number' if kind is int else 'a number'
            raise argparse.ArgumentTypeError(f'{text!r} is not {what} from {least:g} to {most:g}')
        return value

    return parse


def integers(what: str, each: Callable[[str], float] = int) -> Callable[[str], tuple[int, ...]]:
    """Return an argparse type: whole numbers separated by commas.

    Args:
        what: description with an example, for errors.
        each: argparse type of a single number.
    """

    def parse(text: str) -> tuple[int, ...]:
        try:
            return tuple(int(each(part)) for part in text.split(','))
        except ValueError:
            raise argparse.ArgumentTypeError(f'{text!r} is not a list of {what}') from None

    return parse


def different(known: Collection[str], what: str) -> Callable[[str], tuple[str, ...]]:
    """Return an argparse type: different names separated by commas.

    Args:
        known: the names to choose from.
        what: their plural, for errors.
    """

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(text.split(','))
        for name in names:
            if name not in known or names.count(name) > 1:
                raise argparse.ArgumentTypeError(
                    f'{text!r} is not a list of different {what}; there are {", ".join(known)}'
                )
        return names

    return parse


def add_setting(
    parser: argparse.ArgumentParser,
    model: type[BaseModel],
    name: str,
    default: float | None,
    remark: str = '',
) -> None:
    """Declare an option for a number of a configuration, with its description and range."""
    field = model.model_json_schema()['properties'][name]
    limits = [f'{words} {field[key]:.15g}' for key, words in _LIMITS.items() if key in field]
    kind = int if field['type'] == 'integer' else float
    text = '; '.join(part for part in (field['description'], ', '.join(limits), remark) if part)
    parser.add_argument(
        option(name),
        type=kind,
        default=default,
        metavar='N' if kind is int else 'X',
        help=text.replace('%', '%%'),
    )


def option(name: str) -> str:
    """Return the option for a setting, such as --learning-rate for learning_rate."""
    return f'--{name.replace("_", "-")}'


def checked(model: type[BaseModel], values: dict[str, Any]) -> Any:
    """Make a configuration from options.

    Raises:
        ConfigurationError: a value is not allowed; the message names its option.
    """
    try:
        return model(**values)
    except ValidationError as error:
        raise ConfigurationError(first_problem(error, _option_at)) from error


def _option_at(place: str) -> str:
    """Return the option for a value at a place such as fit.recurrent.epochs or test.0."""
    names = [part for part in place.split('.') if not part.isdigit()]
    return option(names[-1])


def add_threads(parser: argparse.ArgumentParser, meaning_of_0: str) -> None:
    """Declare --threads."""
    parser.add_argument(
        '--threads',
        type=number(int, 0, 256),
        default=0,
        metavar='N',
        help=f'CPU threads, 1 to 256; 0 = {meaning_of_0}',
    )


def add_output_rate(parser: argparse.ArgumentParser) -> None:
    """Declare --output-rate."""
    from leconvmn_ros.decoding.decoder import (  # noqa: PLC0415 - slow, and not for all commands
        DEFAULT_OUTPUT_RATE,
    )

    parser.add_argument(
        '--output-rate',
        type=number(float, 0, 1000),
        default=DEFAULT_OUTPUT_RATE,
        metavar='HZ',
        help='estimates per second, at most one per sample; 0 = one per image',
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Declare --device."""
    parser.add_argument(
        '--device',
        default='auto',
        metavar='NAME',
        help='device of the network: auto (a GPU if there is one), cpu or cuda',
    )


def add_engine(parser: argparse.ArgumentParser, whose: str) -> None:
    """Declare --engine."""
    parser.add_argument(
        '--engine',
        type=_engine,
        default=AUTO,
        metavar='NAME',
        help=f'engine for {whose}: {", ".join(ENGINE_NAMES)}; auto = ONNX Runtime on a CPU, a '
        'captured graph on a GPU',
    )


def _engine(text: str) -> str:
    """Check the name of an engine: an argparse type."""
    try:
        check_engine(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def png(text: str) -> Path:
    """Check the name of a picture: an argparse type."""
    path = Path(text)
    if path.suffix.lower() != '.png':
        raise argparse.ArgumentTypeError(f'{text!r} does not end in .png')
    return output_file(text)


def add_protocol(parser: argparse.ArgumentParser, *others: str) -> None:
    """Declare --protocol, with further values explained in the command's description."""
    parser.add_argument(
        '--protocol',
        choices=(*get_args(Protocol), *others),
        default='repetitions',
        help='part that is held out: repetitions (the end of the recording if there are none), or '
        'as in the paper the last fifth of each movement'
        + ''.join(f'; or {other}, see above' for other in others),
    )


def add_reference_lag(
    parser: argparse.ArgumentParser,
    *,
    default: float | None = 0.0,
    auto: bool = False,
) -> None:
    """Declare --reference-lag, a number of seconds or, if a search is allowed, 'auto'.

    Without a default, the lag of the training is used.
    """
    seconds = number(float, -MOST_LAG, MOST_LAG)
    parser.add_argument(
        '--reference-lag',
        type=(lambda text: text if text == 'auto' else seconds(text)) if auto else seconds,
        default=default,
        metavar='S',
        help='lag of the stamps of the reference angles (s), see the command align'
        + ('; auto = the lag it finds, if that is certain' if auto else '')
        + ("; default: the training's lag for this recording" if default is None else ''),
    )


def add_reference(parser: argparse.ArgumentParser, *, default: str | None, remark: str) -> None:
    """Declare --reference."""
    parser.add_argument(
        '--reference',
        choices=('measured', 'cue'),
        default=default,
        help='source of the angles of the hand: measured (glove, camera), or the cue that the '
        'wearer followed, with each repetition re-timed by the onset of its EMG; ' + remark,
    )


def add_topics(parser: argparse.ArgumentParser) -> None:
    """Declare options for the names of the topics in the bags."""
    for name, topic, what in (
        ('emg', EMG_TOPIC, 'EmgArray messages'),
        ('reference', REFERENCE_TOPIC, 'measured JointStates'),
        ('label', LABEL_TOPIC, 'MovementLabel messages'),
    ):
        parser.add_argument(
            f'--{name}-topic', default=topic, metavar='TOPIC', help=f'topic of {what}'
        )
