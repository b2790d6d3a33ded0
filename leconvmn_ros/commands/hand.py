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

"""Check the profile of a robot hand and show what it makes of an open hand and a fist.

A profile is one YAML file: the joints of the hand, what each follows, limits, speed, topic.
Without HAND the profiles that come with the package are listed.
"""

import argparse

from leconvmn_ros.commands.progress import say, show
from leconvmn_ros.errors import printable
from leconvmn_ros.hands.profile import HandProfile, load_profile, RobotJoint, shipped_profiles
from rich.table import Table
from rich.text import Text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'hand', nargs='?', metavar='HAND', help='name of a profile, or the path of a .yaml file'
    )


def run(arguments: argparse.Namespace) -> int:
    """List the profiles, or check and show one."""
    if arguments.hand is None:
        table = Table('profile', 'hand', 'joints', 'message')
        for name in shipped_profiles():
            profile = load_profile(name)
            table.add_row(
                name,
                Text(printable(profile.hand)),
                str(len(profile.joints)),
                Text(printable(_short(profile.command.type))),
            )
        show(table)
        return 0
    profile = load_profile(arguments.hand)
    show(_joint_table(profile))
    for line in _facts(profile):
        say(line)
    return 0


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


def _facts(profile: HandProfile) -> list[str]:
    command, stale = profile.command, profile.stale
    then = {'hold': 'the last command again', 'rest': 'to the rest pose', 'stop': 'no commands'}
    return [
        f'command: {command.type} on {command.topic}, {command.rate:g} a second',
        f'pose of the hand: {profile.state.topic if profile.state else "not told"}',
        f'without input for {stale.after:g} s: {then[stale.then]}',
    ]
