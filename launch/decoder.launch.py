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

"""Decode live EMG: `ros2 launch leconvmn_ros decoder.launch.py checkpoint:=FOLDER`.

The decoder subscribes to `/emg` (leconvmn_ros/msg/EmgArray) and publishes
`/human_hand/joint_states`, since on a robot `/joint_states` belongs to its
joint_state_broadcaster. The other launch files include this one.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = [
    DeclareLaunchArgument('checkpoint', description='folder of the trained decoder'),
    DeclareLaunchArgument(
        'params_file',
        default_value=PathJoinSubstitution(
            [FindPackageShare('leconvmn_ros'), 'config', 'decoder.yaml']
        ),
        description='further parameters of the nodes of this package',
    ),
    DeclareLaunchArgument(
        'output_rate', default_value='50.0', description='estimates per second; 0 = one per image'
    ),
    DeclareLaunchArgument('device', default_value='auto', description='auto, cpu or cuda'),
    DeclareLaunchArgument(
        'autostart', default_value='true', description='false = leave it to a lifecycle manager'
    ),
    DeclareLaunchArgument(
        'namespace',
        default_value='human_hand',
        description='namespace of the nodes, and of topics without a leading /',
    ),
    DeclareLaunchArgument('emg', default_value='/emg', description='topic of the EMG'),
    DeclareLaunchArgument(
        'joint_states', default_value='joint_states', description='topic of the estimate'
    ),
    DeclareLaunchArgument(
        'use_sim_time', default_value='false', description='use the time on /clock'
    ),
    DeclareLaunchArgument(
        'required',
        default_value='false',
        choices=['true', 'false'],
        description='true = when the decoder ends, end everything launched with it',
    ),
]


def _on_exit(event: ProcessExited, context: LaunchContext) -> Shutdown | None:
    if context.launch_configurations['required'] != 'true':
        return None
    return Shutdown(reason=f'{event.process_name} ended with code {event.returncode}')


def generate_launch_description() -> LaunchDescription:
    """Start the decoder."""
    decoder = Node(
        package='leconvmn_ros',
        executable='decoder',
        namespace=LaunchConfiguration('namespace'),
        output='screen',
        parameters=[
            LaunchConfiguration('params_file'),
            {
                # With a type, since a folder called 123 would otherwise arrive as a number.
                'checkpoint': ParameterValue(LaunchConfiguration('checkpoint'), value_type=str),
                'device': ParameterValue(LaunchConfiguration('device'), value_type=str),
                'output_rate': ParameterValue(
                    LaunchConfiguration('output_rate'), value_type=float
                ),
                'autostart': ParameterValue(LaunchConfiguration('autostart'), value_type=bool),
                'use_sim_time': ParameterValue(
                    LaunchConfiguration('use_sim_time'), value_type=bool
                ),
            },
        ],
        remappings=[
            ('emg', LaunchConfiguration('emg')),
            ('joint_states', LaunchConfiguration('joint_states')),
        ],
        on_exit=_on_exit,
    )
    return LaunchDescription([*ARGUMENTS, decoder])
