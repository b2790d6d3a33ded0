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

"""Show the estimate as a moving hand.

`ros2 launch leconvmn_ros hand.launch.py checkpoint:=FOLDER`

Live, from `emg` (leconvmn_ros/msg/EmgArray), or from a bag: `bag:=FOLDER`. RViz shows the estimate
in red and, if there are measured angles, these in grey within it. The frames of the two hands are
`estimate/palm`, `reference/palm` and so on. `view:=true` shows the hand in a browser as well,
`hand:=NAME` moves a robot hand. The end of RViz ends all.

Angles are shown as they are. Those of Ninapro DB5 and of a glove that was calibrated make a hand;
those of DB1 are nominal (what is 0 in them is no straight finger) and look like a fist that moves.
"""

from launch import Condition, LaunchDescription
from launch.actions import DeclareLaunchArgument, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import (
    AndSubstitution,
    Command,
    EqualsSubstitution,
    LaunchConfiguration,
    NotEqualsSubstitution,
    OrSubstitution,
    PathJoinSubstitution,
)
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackagePrefix, FindPackageShare

FROM_BAG = NotEqualsSubstitution(LaunchConfiguration('bag'), '')
GHOST = OrSubstitution(
    EqualsSubstitution(LaunchConfiguration('ghost'), 'true'),
    AndSubstitution(EqualsSubstitution(LaunchConfiguration('ghost'), 'auto'), FROM_BAG),
)
FRAMES = LaunchConfiguration('frames')

ARGUMENTS = [
    DeclareLaunchArgument('checkpoint', description='folder of the trained decoder'),
    DeclareLaunchArgument(
        'bag', default_value='', description='rosbag2 folder to play; empty = live'
    ),
    DeclareLaunchArgument(
        'rate', default_value='1.0', description='speed of the bag; only at 1 do stamps fit clocks'
    ),
    DeclareLaunchArgument(
        'loop',
        default_value='true',
        description='play the bag again and again; false = end with it',
    ),
    DeclareLaunchArgument(
        'side', default_value='right', choices=['left', 'right'], description='which hand'
    ),
    DeclareLaunchArgument(
        'ghost',
        default_value='auto',
        choices=['auto', 'true', 'false'],
        description='show the measured angles too; auto = if there is a bag',
    ),
    DeclareLaunchArgument('rviz', default_value='true', description='start RViz'),
    DeclareLaunchArgument(
        'rviz_config',
        default_value=PathJoinSubstitution(
            [FindPackageShare('leconvmn_ros'), 'config', 'hand.rviz']
        ),
        description='what RViz shows',
    ),
    DeclareLaunchArgument(
        'frames',
        default_value='true',
        description='publish the frames of the hands (robot_state_publisher), which RViz needs',
    ),
    DeclareLaunchArgument('view', default_value='false', description='show it in a browser'),
    DeclareLaunchArgument('port', default_value='8080', description='where the browser finds it'),
    DeclareLaunchArgument(
        'hand', default_value='', description='profile of a robot hand to move; empty = none'
    ),
    DeclareLaunchArgument(
        'calibration', default_value='', description='file with the ranges of the wearer for it'
    ),
    DeclareLaunchArgument('emg', default_value='emg', description='topic of the EMG'),
    DeclareLaunchArgument(
        'joint_states', default_value='joint_states', description='topic of the estimate'
    ),
    DeclareLaunchArgument(
        'reference',
        default_value='joint_states_reference',
        description='topic of the measured angles',
    ),
    DeclareLaunchArgument(
        'output_rate', default_value='50.0', description='estimates per second (Hz), 0 = per image'
    ),
    DeclareLaunchArgument('device', default_value='auto', description='auto, cpu or cuda'),
    DeclareLaunchArgument(
        'params_file',
        default_value=PathJoinSubstitution(
            [FindPackageShare('leconvmn_ros'), 'config', 'decoder.yaml']
        ),
        description='further parameters of the nodes of this package',
    ),
]


TOPICS = [
    ('emg', LaunchConfiguration('emg')),
    ('joint_states', LaunchConfiguration('joint_states')),
    ('joint_states_reference', LaunchConfiguration('reference')),
]


def _given(**types: type) -> dict[str, ParameterValue]:
    """Return arguments as parameters; typed, or a folder called 123 would arrive as a number."""
    return {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind in types.items()
    }


def _node(executable: str, parameters: dict[str, object], **more: object) -> Node:
    """Make a node of this package."""
    return Node(
        package='leconvmn_ros',
        executable=executable,
        output='screen',
        parameters=[LaunchConfiguration('params_file'), parameters],
        **more,
    )


def _frames(whose: str, topic: str, look: str, condition: Condition) -> Node:
    """Publish the frames of one hand, which follow a topic, and its description."""
    program = PathJoinSubstitution(
        [FindPackagePrefix('leconvmn_ros'), 'lib', 'leconvmn_ros', 'leconvmn_ros']
    )
    urdf = Command(['"', program, '" urdf --side ', LaunchConfiguration('side'), look])
    return Node(
        package='robot_state_publisher',
        executable='robot_state_publisher',
        name=f'{whose}_state_publisher',
        output='screen',
        parameters=[
            {
                'robot_description': ParameterValue(urdf, value_type=str),
                'frame_prefix': f'{whose}/',
                'publish_frequency': 1000.0,  # it would thin out to 20 poses a second
            }
        ],
        remappings=[
            ('joint_states', LaunchConfiguration(topic)),
            ('robot_description', f'{whose}/robot_description'),
        ],
        condition=condition,
    )


def generate_launch_description() -> LaunchDescription:
    """Start the decoder and whatever else was asked for."""
    ghost = IfCondition(AndSubstitution(FRAMES, GHOST))
    return LaunchDescription(
        [
            *ARGUMENTS,
            # First, so that nothing of ours runs yet if one of these is not installed.
            _frames('estimate', 'joint_states', '', IfCondition(FRAMES)),
            _frames('reference', 'reference', ' --ghost', ghost),
            Node(
                package='tf2_ros',
                executable='static_transform_publisher',
                name='reference_on_estimate',
                arguments=['--frame-id', 'estimate/palm', '--child-frame-id', 'reference/palm'],
                condition=ghost,
            ),
            Node(
                package='rviz2',
                executable='rviz2',
                arguments=['--display-config', LaunchConfiguration('rviz_config')],
                condition=IfCondition(LaunchConfiguration('rviz')),
                on_exit=Shutdown(),
            ),
            _node(
                'decoder',
                _given(checkpoint=str, device=str, output_rate=float),
                remappings=TOPICS,
                on_exit=Shutdown(),
            ),
            # Its topics have the names of the bag, which the arguments tell the others.
            _node(
                'replay',
                _given(bag=str, rate=float, loop=bool)
                | {
                    'stamps': 'now',
                    'publish_clock': False,
                    'subscribers': 1,
                    'subscriber_timeout': 120.0,  # loading a network takes a while
                },
                condition=IfCondition(FROM_BAG),
                on_exit=Shutdown(),
            ),
            _node(
                'viewer',
                _given(side=str, port=int),
                remappings=TOPICS,
                condition=IfCondition(LaunchConfiguration('view')),
            ),
            _node(
                'retarget',
                _given(calibration=str)
                | {'profile': ParameterValue(LaunchConfiguration('hand'), value_type=str)},
                remappings=TOPICS,
                condition=IfCondition(NotEqualsSubstitution(LaunchConfiguration('hand'), '')),
            ),
        ]
    )
