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

"""The parameters of the nodes, each a table called `PARAMETERS` in the module of its node.

They are declared, checked and documented from this table:
`python -m leconvmn_ros.nodes.parameters` prints the tables of all nodes as Markdown.
"""

from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
import sys
from typing import NamedTuple

from leconvmn_ros.core.errors import ConfigurationError
import leconvmn_ros.nodes
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
import rclpy.parameter

Value = bool | int | float | str


class Parameter(NamedTuple):
    """One parameter of a node.

    Attributes:
        name: its name.
        default: its default value, which also determines the type.
        description: one line for users, with the unit.
        allowed: lowest and highest value of a number, both included.
        choices: the allowed values of a string.
        read_only: whether it can only be set at the start of the node.
    """

    name: str
    default: Value
    description: str
    allowed: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = True

    @property
    def type_name(self) -> str:
        """Type in words: bool, int, float or string."""
        return 'string' if isinstance(self.default, str) else type(self.default).__name__

    @property
    def allowed_text(self) -> str:
        """The allowed values in words, after the type."""
        if self.allowed is not None:
            return f' from {self.allowed[0]:g} to {self.allowed[1]:g}'
        if self.choices:
            return f', one of {", ".join(self.choices)}'
        return ''

    @property
    def default_text(self) -> str:
        """The default as written on a command line or in a parameter file."""
        if isinstance(self.default, bool):
            return str(self.default).lower()
        return repr(self.default)

    def descriptor(self) -> ParameterDescriptor:
        """Make the message that `ros2 param describe` shows."""
        descriptor = ParameterDescriptor(description=self.description, read_only=self.read_only)
        if self.choices:
            descriptor.additional_constraints = f'one of {", ".join(self.choices)}'
        if self.allowed is None:
            return descriptor
        lowest, highest = self.allowed
        if isinstance(self.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(lowest), to_value=float(highest))
            ]
        else:
            descriptor.integer_range = [
                IntegerRange(from_value=int(lowest), to_value=int(highest))
            ]
        return descriptor


# For every node that exchanges recordings with another: both sides of a topic need it.
LOSSLESS = Parameter(
    'lossless',
    False,
    'wait for slow readers instead of losing messages (replay); both sides of a topic need it',
)


def declare_parameters(node: Node, parameters: Sequence[Parameter]) -> None:
    """Declare the parameters of a node; choices are also checked whenever they are set.

    Raises:
        ConfigurationError: a given value has another type or is not allowed.
    """
    choices = {parameter.name: parameter.choices for parameter in parameters if parameter.choices}

    def check_choices(given: Sequence[rclpy.parameter.Parameter]) -> SetParametersResult:
        for parameter in given:
            known = choices.get(parameter.name)
            if known is not None and parameter.value not in known:
                return SetParametersResult(
                    successful=False,
                    reason=f'{parameter.name} is {parameter.value!r}; '
                    f'allowed are {", ".join(map(repr, known))}',
                )
        return SetParametersResult(successful=True)

    if choices:
        node.add_on_set_parameters_callback(check_choices)
    for parameter in parameters:
        _declare(node, parameter)


def _declare(node: Node, parameter: Parameter) -> None:
    name = parameter.name
    try:
        node.declare_parameter(name, parameter.default, parameter.descriptor())
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        raise ConfigurationError(
            f'parameter {name}: {str(error).removesuffix(f": {name}")}; allowed: '
            f'{parameter.type_name}{parameter.allowed_text} ({parameter.description})'
        ) from error


def all_parameters() -> dict[str, tuple[Parameter, ...]]:
    """Return the table of every node, by the name of its executable."""
    names = [module.name for module in iter_modules(leconvmn_ros.nodes.__path__)]
    modules = {name: import_module(f'{leconvmn_ros.nodes.__name__}.{name}') for name in names}
    return {
        name: tuple(module.PARAMETERS)
        for name, module in modules.items()
        if hasattr(module, 'main')
    }


def as_markdown(parameters: Sequence[Parameter]) -> str:
    """Return a table of parameters as Markdown."""
    rows = [
        '| parameter | type | default | allowed | meaning |',
        '| --- | --- | --- | --- | --- |',
    ]
    for parameter in parameters:
        settable = '' if parameter.read_only else '; can be set at run time'
        cells = (
            f'`{parameter.name}`',
            parameter.type_name,
            f'`{parameter.default_text}`',
            parameter.allowed_text.strip(', ') or 'any',
            f'{parameter.description}{settable}',
        )
        rows.append(f'| {" | ".join(cells)} |')
    return '\n'.join(rows)


def _print_all() -> None:
    for name, parameters in all_parameters().items():
        sys.stdout.write(f'## {name}\n\n{as_markdown(parameters)}\n\n')


if __name__ == '__main__':
    _print_all()
