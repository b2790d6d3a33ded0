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

"""Runs `leconvmn_ros sources`; its arguments are in parsers/sources.py."""

import argparse

from leconvmn_ros.commands.progress import say
from leconvmn_ros.core.errors import ConfigurationError, LeconvmnError
from leconvmn_ros.sources.contract import EmgSource
from leconvmn_ros.sources.registry import import_library, load_source, source_names


def run(arguments: argparse.Namespace) -> int:
    """List all sources, or one."""
    names = source_names()
    if arguments.source is not None:
        if arguments.source not in names:
            raise ConfigurationError(
                f'there is no source {arguments.source!r}; there are {", ".join(names)}'
            )
        names = [arguments.source]
    for name in names:
        for line in _describe(name):
            say(line)
    return 0


def _describe(name: str) -> list[str]:
    try:
        kind = load_source(name)
        if kind.LIBRARY:
            import_library(kind)
    except ConfigurationError as error:
        return [f'{name}: {error}']
    summary = (kind.__doc__ or '').strip().splitlines()
    lines = [f'{name}: {summary[0] if summary else "no description"}']
    lines += [f'    {option}' for option in _options(kind)]
    if known := kind.known():
        lines.append(f'  knows: {", ".join(known)}')
    try:
        found = kind.find()
    except LeconvmnError as error:
        return [*lines, f'  not found: {error}']
    return lines + [f'  found: {line}' for line in found]


def _options(kind: type[EmgSource]) -> list[str]:
    options = []
    for name, field in kind.Options.model_fields.items():
        default = '' if field.default in {'', None} else f' (default {field.default})'
        options.append(f'{name}=  {field.description or ""}{default}')
    return options
