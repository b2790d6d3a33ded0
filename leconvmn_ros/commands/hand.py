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

"""Runs `leconvmn_ros hand`; its arguments are in parsers/hand.py."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from leconvmn_ros.commands.progress import remark, say, show
from leconvmn_ros.core.errors import ConfigurationError, printable
from leconvmn_ros.core.files import write_text
from leconvmn_ros.hands.anchors import Anchors, anchors_path, load_anchors
from leconvmn_ros.hands.profile import (
    HandProfile,
    load_profile,
    profile_path,
    RobotJoint,
    shipped_profiles,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from leconvmn_ros.hands.modelled_hand import ModelledHand
    from leconvmn_ros.hands.simulation import Report


def run(arguments: argparse.Namespace) -> int:
    """Do what the options request; by default list the profiles, or show one."""
    if arguments.source:
        return _draft(arguments.source, arguments.output)
    if arguments.hand is None:
        if arguments.check or arguments.simulate or arguments.fit:
            raise ConfigurationError('--check, --simulate and --fit need the name of a HAND')
        show(_list())
        return 0
    profile = load_profile(arguments.hand)
    if arguments.check:
        return _check(profile, arguments.check)
    if arguments.fit:
        target = arguments.output or anchors_path(profile_path(arguments.hand))
        return _fit(profile, arguments.fit, target)
    anchors = load_anchors(profile_path(arguments.hand), profile)
    if arguments.simulate:
        return _simulate(profile, anchors, arguments)
    show(_joint_table(profile))
    for line in _facts(profile, anchors):
        say(line)
    return 0


def _list() -> Table:
    table = Table()
    for heading in (
        'profile',
        'maker',
        'model',
        'side',
        'fingers',
        'message',
        'fitted',
        'checked',
    ):
        table.add_column(heading, no_wrap=heading in {'profile', 'fitted', 'checked'})
    for name in shipped_profiles():
        profile = load_profile(name)
        anchors = load_anchors(profile_path(name), profile)
        checked = profile.checked
        cells = (
            name,
            profile.maker,
            profile.hand.removesuffix(f', {profile.side}'),
            profile.side,
            str(len(_fingers(profile))),
            _short(profile.command.type),
            anchors.fitted.isoformat() if anchors else 'no',
            checked.date.isoformat() if checked else 'no',
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _fingers(profile: HandProfile) -> set[str]:
    return {name.partition('_')[0] for name in profile.human_joints}


def _modelled(profile: HandProfile, urdf: Path) -> 'ModelledHand':
    # MuJoCo is optional and takes a second to import.
    from leconvmn_ros.hands.modelled_hand import ModelledHand  # noqa: PLC0415
    from leconvmn_ros.hands.robot_model import RobotModel  # noqa: PLC0415

    model = RobotModel(urdf)
    if model.missing:
        some = ', '.join(model.missing[:3])
        remark(f'{len(model.missing)} shapes are missing and touch nothing: {some}')
    if model.ignored:
        pairs = ', '.join(' and '.join(pair) for pair in model.ignored)
        remark(f'these overlap in every pose and are ignored: {pairs}')
    return ModelledHand(profile, model)


def _check(profile: HandProfile, urdf: Path) -> int:
    from leconvmn_ros.hands.model_comparison import compare  # noqa: PLC0415
    from leconvmn_ros.hands.robot_model import RobotModel  # noqa: PLC0415

    found = compare(profile, RobotModel(urdf))
    for finding in found:
        say(f'{"wrong" if finding.serious else "note"}: {finding.text}')
    wrong = sum(finding.serious for finding in found)
    verdict = f'{wrong} findings contradict it' if wrong else 'agrees'
    say(f'{profile.hand} and {urdf.name}: {verdict}')
    return 1 if wrong else 0


def _fit(profile: HandProfile, urdf: Path, target: Path) -> int:
    from leconvmn_ros.hands.fitting import fit  # noqa: PLC0415

    anchors = fit(_modelled(profile, urdf), urdf.name, remark)
    write_text(target, anchors.model_dump_json() + '\n')
    say(f'written to {target}')
    return 0


def _draft(urdf: Path, output: Path | None) -> int:
    from leconvmn_ros.hands.model_comparison import draft  # noqa: PLC0415
    from leconvmn_ros.hands.robot_model import RobotModel  # noqa: PLC0415

    text = draft(RobotModel(urdf), urdf.name)
    if output:
        write_text(output, text)
        say(f'written to {output}')
    else:
        print(text, end='')
    return 0


def _simulate(
    profile: HandProfile,
    anchors: Anchors | None,
    arguments: argparse.Namespace,
) -> int:
    from leconvmn_ros.hands.simulation import measure  # noqa: PLC0415

    hand = _modelled(profile, arguments.simulate)
    reports = {'joint map': measure(hand, None, arguments.poses)}
    if anchors:
        reports['fitted'] = measure(hand, anchors, arguments.poses)
    show(_report_table(profile, reports))
    if arguments.picture or arguments.video:
        from leconvmn_ros.hands import pictures  # noqa: PLC0415

        if arguments.picture:
            strip = pictures.strip(arguments.simulate, hand, anchors)
            pictures.save_picture(strip, arguments.picture)
        if arguments.video:
            frames = pictures.video(arguments.simulate, hand, anchors)
            pictures.save_video(frames, arguments.video)
    return 0


def _report_table(profile: HandProfile, reports: 'dict[str, Report]') -> Table:
    table = Table('', *reports, title=Text(printable(profile.hand)), title_justify='left')
    rows: dict[str, list[str]] = {}

    def add(name: str, text: str) -> None:
        rows.setdefault(name, []).append(text)

    for report in reports.values():
        add('fist: deepest overlap', f'{1e3 * report.fist:.1f} mm')
        add('point: deepest overlap', f'{1e3 * report.point:.1f} mm')
        add('sequence: deepest overlap', f'{1e3 * report.sequence:.1f} mm')
        links = ' in '.join(report.pair)
        add(
            f'{report.poses} random human poses: deepest overlap',
            f'{1e3 * report.anywhere:.1f} mm{f" ({links})" if report.anywhere > 0 else ""}',
        )
        for number, pinch in enumerate(report.pinches):
            # Two rows per finger: touching, then relaxed.
            kind = 'relaxed' if number % 2 else 'touching'
            add(
                f'{pinch.finger} pinch, {kind}, human {1e3 * pinch.human:.1f} mm',
                f'tips {1e3 * pinch.tips:.1f} mm (scaled {1e3 * pinch.wanted:.0f}), '
                f'gap {1e3 * pinch.gap:.1f} mm',
            )
        fingers, thumb = report.turns_back
        add('closing: largest move back', f'fingers {fingers:.2f}, thumb {thumb:.2f} rad')
        add('largest step per degree', f'{report.jump:.3f} rad')
        median, most = report.milliseconds
        add('time per command, median and p99', f'{median:.2f} and {most:.2f} ms')
    for name, cells in rows.items():
        table.add_row(*(Text(printable(cell)) for cell in (name, *cells)))
    return table


def _short(message_type: str) -> str:
    return message_type.rpartition('/')[2]


def _joint_table(profile: HandProfile) -> Table:
    unit = profile.command.unit
    title = f'{profile.hand}, in {unit if isinstance(unit, str) else "its own unit"}'
    table = Table(title=Text(printable(title)), title_justify='left')
    table.add_column('joint')
    table.add_column('follows')
    for heading in ('open', 'fist', 'rest', 'limits', 'rad/s'):
        table.add_column(heading, justify='right')
    lower, upper = ([joint.limits[side] for joint in profile.joints] for side in (0, 1))
    poses = [profile.pose(0.0), profile.pose(1.0), profile.rest_pose]
    columns = [profile.in_unit(values) for values in (*map(_values, poses), lower, upper)]
    for joint, *values in zip(profile.joints, *columns, strict=True):
        opened, fist, rest, low, high = (f'{value:.4g}' for value in values)
        table.add_row(
            Text(printable(joint.name)),
            Text(printable(_source(joint))),
            *(opened, fist, rest, f'{low} to {high}'),
            f'{profile.speed_of(joint):g}',
        )
    return table


def _values(pose: dict[str, float]) -> list[float]:
    return list(pose.values())


def _source(joint: RobotJoint) -> str:
    if joint.coupled:
        offset = f' {joint.coupled.offset:+g}' if joint.coupled.offset else ''
        return f'{joint.coupled.ratio:g} {joint.coupled.joint}{offset}'
    if joint.follows is None:
        return 'fixed'
    if len(joint.follows) == 1:
        return next(iter(joint.follows))
    return ' + '.join(f'{weight:g} {name}' for name, weight in joint.follows.items())


def _facts(profile: HandProfile, anchors: Anchors | None) -> list[str]:
    command, stale = profile.command, profile.stale
    then = {'hold': 'repeat the last command', 'rest': 'go to rest', 'stop': 'no commands'}
    return [
        f'command: {command.type} on {command.topic}, {command.rate:g} a second',
        f'pose of the hand: {profile.state.topic if profile.state else "not reported"}',
        f'without input for {stale.after:g} s: {then[stale.then]}',
        f'checked against {profile.checked.model} on {profile.checked.date}'
        if profile.checked
        else "not checked against the maker's model",
        f'pinches fitted to {anchors.model} on {anchors.fitted}: '
        f'{", ".join(anchors.pinches)}; size {anchors.scale:g} of the human hand'
        if anchors
        else 'no pinches are fitted: joint map only',
    ]
