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
"""Directives that generate the reference from the code, so that it is never outdated.

``{commands}`` documents every command from its parser, ``{nodes}`` the parameters of every node
from their declarations, ``{hand_profile}`` the keys of a hand profile from its model.
"""

import argparse
from collections.abc import Iterable, Iterator

from docutils import nodes
from docutils.parsers.rst import Directive
from leconvmn_ros.cli import build_parser, COMMANDS
from sphinx.application import Sphinx

WIDTHS = (30, 70)


class Commands(Directive):
    """The description, usage and arguments of every command."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each command."""
        sections = []
        for name in COMMANDS:
            parser = _subparser(name)
            section = nodes.section(ids=[f'command-{name}'])
            section += nodes.title(text=name)
            for part in (parser.description or '').split('\n\n'):
                section += nodes.paragraph(text=part.strip())
            usage = parser.format_usage().removeprefix('usage: ').rstrip()
            section += nodes.literal_block(usage, usage, language='text')
            section += _table(_rows(parser))
            sections.append(section)
        return sections


def _subparser(name: str) -> argparse.ArgumentParser:
    parser = build_parser(name)
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            found: argparse.ArgumentParser = action.choices[name]
            return found
    raise ValueError(f'no command {name}')


def _rows(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    formatter = parser._get_formatter()  # noqa: SLF001
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._HelpAction):  # noqa: SLF001
            continue
        names = ', '.join(action.option_strings)
        value = formatter._format_args(action, action.dest.upper()) if action.nargs != 0 else ''  # noqa: SLF001
        # Spaces between choices let the cell wrap.
        value = value.replace(',', ', ')
        yield f'{names} {value}'.strip(), formatter._expand_help(action) if action.help else ''  # noqa: SLF001


class HandProfileKeys(Directive):
    """The keys of a hand profile, with a section for each kind of mapping in it."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each model."""
        from leconvmn_ros.hands import profile

        sections = []
        for model in (
            profile.HandProfile,
            profile.CommandOutput,
            profile.StateInput,
            profile.Stale,
            profile.RobotJoint,
            profile.Coupling,
            profile.Scale,
            profile.Check,
        ):
            section = nodes.section(ids=[f'profile-{model.__name__}'])
            section += nodes.title(text=model.__name__)
            section += nodes.paragraph(text=model.__doc__)
            fields = model.model_fields.items()
            section += _table(
                (key if field.is_required() else f'{key} (optional)', field.description or '')
                for key, field in fields
            )
            sections.append(section)
        return sections


class NodeParameters(Directive):
    """The parameters of every node: type, default, allowed values, meaning."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each node."""
        # Needs rclpy, which the rest of the documentation does not.
        from leconvmn_ros.nodes.parameters import all_parameters

        sections = []
        for name, parameters in all_parameters().items():
            section = nodes.section(ids=[f'node-{name}'])
            section += nodes.title(text=name)
            rows = []
            for parameter in parameters:
                kind = f'{parameter.type_name}{parameter.allowed_text}'
                when = '' if parameter.read_only else '; can be set at run time'
                value = f'{parameter.name} = {parameter.default_text}'
                rows.append((value, f'{parameter.description} ({kind}{when})'))
            section += _table(rows)
            sections.append(section)
        return sections


def _table(rows: Iterable[tuple[str, str]]) -> nodes.table:
    group = nodes.tgroup('', *(nodes.colspec(colwidth=width) for width in WIDTHS), cols=2)
    body = nodes.tbody()
    for name, meaning in rows:
        cells = (nodes.literal(name, name), nodes.Text(meaning))
        body += nodes.row('', *(nodes.entry('', nodes.paragraph('', '', cell)) for cell in cells))
    group += body
    return nodes.table('', group)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive('commands', Commands)
    app.add_directive('nodes', NodeParameters)
    app.add_directive('hand_profile', HandProfileKeys)
    return {'parallel_read_safe': True}
