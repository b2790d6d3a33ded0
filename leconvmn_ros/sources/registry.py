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

"""The available sources: ours, and entry points of other packages."""

from importlib import import_module
from importlib.metadata import entry_points
import shlex
from typing import Any

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.strict_model import first_problem
from leconvmn_ros.sources.contract import EmgSource
from pydantic import ValidationError

GROUP = 'leconvmn_ros.sources'
# Not entry points, because a colcon workspace has none.
_OURS = {
    'lsl': 'leconvmn_ros.sources.lsl_stream:LslSource',
    'brainflow': 'leconvmn_ros.sources.brainflow_board:BrainFlowSource',
    'mindrove': 'leconvmn_ros.sources.brainflow_board:MindRoveSource',
    'myo': 'leconvmn_ros.sources.myo_armband:MyoSource',
    'bag': 'leconvmn_ros.sources.bag_playback:BagSource',
    'synthetic': 'leconvmn_ros.sources.synthetic_signal:SyntheticSource',
}


def source_names() -> list[str]:
    """Return the names of all sources, ours first."""
    return [*_OURS, *sorted(known.name for known in _foreign() if known.name not in _OURS)]


def load_source(name: str) -> type[EmgSource]:
    """Return the class of a source, without importing its library.

    Raises:
        ConfigurationError: there is no such source, or it cannot be loaded.
    """
    if name in _OURS:
        module, _, attribute = _OURS[name].partition(':')
        found: Any = getattr(import_module(module), attribute)
        return _checked(name, found)
    for known in _foreign():
        if known.name == name:
            try:
                return _checked(name, known.load())
            except Exception as error:
                # A foreign module may fail in any way.
                raise ConfigurationError(
                    f'source {name!r} ({known.value}) cannot be loaded: {error}'
                ) from error
    raise ConfigurationError(f'there is no source {name!r}; there are {", ".join(source_names())}')


def make_source(name: str, options: str = '') -> EmgSource:
    """Return a source that is ready to open.

    Args:
        name: one of `source_names`.
        options: its options, as words such as 'board=CYTON serial_port=/dev/ttyUSB0'.

    Raises:
        ConfigurationError: there is no such source, or an option is not allowed.
    """
    kind = load_source(name)
    try:
        return kind(kind.Options.model_validate(_parse(options)))
    except ValidationError as error:
        allowed = ', '.join(kind.Options.model_fields) or 'none'
        raise ConfigurationError(
            f'options of source {name}: {first_problem(error)}; there are: {allowed}'
        ) from error


def import_library(kind: type[EmgSource], module: str = '') -> Any:
    """Import the library of a source.

    Raises:
        ConfigurationError: it is not installed, or does not run on this machine.
    """
    try:
        return import_module(module or kind.LIBRARY)
    except ImportError as error:
        raise ConfigurationError(
            f'{kind.LIBRARY} is not installed: pip install leconvmn_ros[{kind.EXTRA}]'
        ) from error
    except (OSError, RuntimeError) as error:  # a C library that this machine cannot load
        raise ConfigurationError(
            f'{kind.LIBRARY} is installed, but does not run on this machine: {error}'
        ) from error


def _parse(options: str) -> dict[str, str]:
    try:
        words = shlex.split(options)
    except ValueError as error:  # an unclosed quote
        raise ConfigurationError(f'options {options!r}: {error}') from error
    parsed = {}
    for word in words:
        key, equals, value = word.partition('=')
        if not (key and equals):
            raise ConfigurationError(f'option {word!r} is not of the form name=value')
        parsed[key] = value
    return parsed


def _foreign() -> Any:
    return entry_points(group=GROUP)


def _checked(name: str, found: Any) -> type[EmgSource]:
    if not (isinstance(found, type) and issubclass(found, EmgSource)):
        raise ConfigurationError(
            f'source {name!r} is {found!r}; a subclass of '
            'leconvmn_ros.sources.contract.EmgSource is needed'
        )
    return found
