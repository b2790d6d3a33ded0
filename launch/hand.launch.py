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

EMG comes live from `/emg` (leconvmn_ros/msg/EmgArray), or from a bag with `bag:=FOLDER`. RViz
shows the estimate in red and measured angles, if there are any, in grey within it. The frames of
the two hands are `estimate/palm`, `reference/palm` and so on. `view:=true` also shows the hand in
a browser, `hand:=NAME` moves a robot hand. Everything ends with RViz. The human hand has its own
namespace `human_hand`, since on a robot `/joint_states` belongs to the robot. The arguments of
decoder.launch.py work, too.

Angles are shown unchanged. Those of Ninapro DB5 and of a calibrated glove give a realistic hand.
Those of DB1 are nominal (at 0 a finger is not straight) and look like a moving fist.
"""

import os

from ament_index_python.packages import get_package_prefix, PackageNotFoundError
from launch import Condition, LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    Shutdown,
)
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
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

SHARE = FindPackageShare('leconvmn_ros')
FROM_BAG = NotEqualsSubstitution(LaunchConfiguration('bag'), '')
GHOST = OrSubstitution(
    EqualsSubstitution(LaunchConfiguration('ghost'), 'true'),
    AndSubstitution(EqualsSubstitution(LaunchConfiguration('ghost'), 'auto'), FROM_BAG),
)
FRAMES = LaunchConfiguration('frames')

ARGUMENTS = [
    # Declared again, since required arguments of an included file must be passed on.
    DeclareLaunchArgument('checkpoint', description='folder of the trained decoder'),
    DeclareLaunchArgument(
        'bag', default_value='', description='rosbag2 folder to play; empty = live'
    ),
    DeclareLaunchArgument(
        'rate', default_value='1.0', description='speed of the bag; stamps fit clocks only at 1'
    ),
    DeclareLaunchArgument(
        'loop',
        default_value='true',
        description='repeat the bag; false = end with it',
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
        description='configuration of RViz',
    ),
    DeclareLaunchArgument(
        'frames',
        default_value='true',
        description='publish the frames of the hands (robot_state_publisher), which RViz needs',
    ),
    DeclareLaunchArgument('view', default_value='false', description='show it in a browser'),
    DeclareLaunchArgument('port', default_value='8080', description='port of the page'),
    DeclareLaunchArgument(
        'hand', default_value='', description='profile of a robot hand to move; empty = none'
    ),
    DeclareLaunchArgument(
        'command_topic', default_value='', description='its command topic; empty = profile'
    ),
    DeclareLaunchArgument(
        'calibration', default_value='', description='calibration file of the wearer'
    ),
    DeclareLaunchArgument(
        'emg', default_value='/emg', description='topic of the EMG, live or in the bag'
    ),
    DeclareLaunchArgument(
        'reference',
        default_value='/joint_states_reference',
        description='topic of the measured angles',
    ),
]


TOPICS = [
    ('emg', LaunchConfiguration('emg')),
    ('joint_states', LaunchConfiguration('joint_states')),
    ('joint_states_reference', LaunchConfiguration('reference')),
]


def _given(**types: type) -> dict[str, ParameterValue]:
    """Return arguments as typed parameters; a folder called 123 must not become a number."""
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


def _check_packages(context: LaunchContext) -> None:
    """Refuse to start without the packages that show the hand.

    Raises:
        RuntimeError: one is not installed; the message says what to do.
    """
    packages = {'rviz': ['rviz2'], 'frames': ['robot_state_publisher', 'tf2_ros']}
    for argument, wanted in packages.items():
        if not IfCondition(LaunchConfiguration(argument)).evaluate(context):
            continue
        for package in wanted:
            try:
                get_package_prefix(package)
            except PackageNotFoundError as error:
                debian = f'ros-{os.environ.get("ROS_DISTRO", "DISTRO")}-{package}'
                raise RuntimeError(
                    f'{package} is not installed: sudo apt install {debian.replace("_", "-")}, or '
                    f'do without it: {argument}:=false (the browser needs neither: view:=true)'
                ) from error


def _frames(whose: str, topic: str, look: str, condition: Condition) -> Node:
    """Publish the description of one hand, and its frames as a topic moves them."""
    program = PathJoinSubstitution(
        [FindPackagePrefix('leconvmn_ros'), 'lib', 'leconvmn_ros', 'leconvmn_ros']
    )
    urdf = Command(['"', program, '" urdf --side ', LaunchConfiguration('side'), look])
    return Node(
        package='robot_state_publisher',
        executable='robot_state_publisher',
        name=f'{whose}_state_publisher',
        namespace=LaunchConfiguration('namespace'),
        output='screen',
        parameters=[
            {
                'robot_description': ParameterValue(urdf, value_type=str),
                'frame_prefix': f'{whose}/',
                'publish_frequency': 1000.0,  # the default drops all but 20 poses a second
            }
        ],
        remappings=[
            ('joint_states', LaunchConfiguration(topic)),
            ('robot_description', f'/{whose}/robot_description'),
        ],
        condition=condition,
    )


def _shown() -> list[Node]:
    """Return the nodes that show the hands in RViz."""
    ghost = IfCondition(AndSubstitution(FRAMES, GHOST))
    return [
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
    ]


def _retarget(context: LaunchContext) -> list[Node]:
    """Return the node that moves the robot hand, outside the namespace with the robot.

    The topic of the estimate is a parameter, not a remapping: the robot may report its own pose
    on a topic of the same name.
    """
    names = ('namespace', 'joint_states')
    namespace, topic = (LaunchConfiguration(name).perform(context) for name in names)
    estimate = topic if topic.startswith('/') else '/'.join(['', *namespace.split('/'), topic])
    parameters = _given(calibration=str, command_topic=str) | {
        'profile': ParameterValue(LaunchConfiguration('hand'), value_type=str),
        'input_topic': estimate.replace('//', '/'),
    }
    moved = IfCondition(NotEqualsSubstitution(LaunchConfiguration('hand'), ''))
    return [_node('retarget', parameters, condition=moved)]


def generate_launch_description() -> LaunchDescription:
    """Start the decoder and all other requested nodes."""
    namespace = LaunchConfiguration('namespace')
    return LaunchDescription(
        [
            *ARGUMENTS,
            # First, so that none of our nodes runs yet if a package is missing.
            OpaqueFunction(function=_check_packages),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(
                    PathJoinSubstitution([SHARE, 'launch', 'decoder.launch.py'])
                ),
                launch_arguments={
                    'checkpoint': LaunchConfiguration('checkpoint'),
                    'required': 'true',
                }.items(),
            ),
            *_shown(),
            # Outside the namespace, so that topics keep their names of the bag.
            _node(
                'replay',
                _given(bag=str, rate=float, loop=bool)
                | {
                    'stamps': 'now',
                    'publish_clock': False,
                    'wait_for': 'decoder',
                    'subscriber_timeout': 120.0,  # loading a network takes a while
                },
                condition=IfCondition(FROM_BAG),
                on_exit=Shutdown(),
            ),
            _node(
                'viewer',
                _given(side=str, port=int),
                namespace=namespace,
                remappings=TOPICS,
                condition=IfCondition(LaunchConfiguration('view')),
            ),
            OpaqueFunction(function=_retarget),
        ]
    )
