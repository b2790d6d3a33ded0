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

"""Replay a bag, decode it and score the estimate against the reference in the bag.

`ros2 launch leconvmn_ros evaluate.launch.py bag:=FOLDER checkpoint:=FOLDER output:=FOLDER`

Ends with the bag. The parameters in `params_file` make all topics lossless: a late reader holds
the replay back.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = [
    DeclareLaunchArgument('bag', description='rosbag2 folder to play'),
    DeclareLaunchArgument('checkpoint', description='folder of the trained decoder'),
    DeclareLaunchArgument(
        'output', default_value='evaluation', description='folder for scores and plot'
    ),
    DeclareLaunchArgument(
        'rate', default_value='1.0', description='speed; 0 = as fast as the decoder keeps up'
    ),
    DeclareLaunchArgument(
        'output_rate', default_value='50.0', description='estimates per second (Hz), 0 = per image'
    ),
    DeclareLaunchArgument('emg', default_value='emg', description='topic of the EMG in the bag'),
    DeclareLaunchArgument(
        'reference',
        default_value='joint_states_reference',
        description='topic of the measured angles in the bag',
    ),
    DeclareLaunchArgument(
        'reference_lag', default_value='0.0', description='how late the measured angles are (s)'
    ),
    DeclareLaunchArgument('device', default_value='auto', description='auto, cpu or cuda'),
    DeclareLaunchArgument(
        'params_file',
        default_value=PathJoinSubstitution(
            [FindPackageShare('leconvmn_ros'), 'config', 'evaluate.yaml']
        ),
        description='further parameters of the three nodes',
    ),
]


def _node(executable: str, types: dict[str, type], **more: object) -> Node:
    """Make a node that takes the named arguments as parameters of the given types."""
    parameters = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind in types.items()
    }
    return Node(
        package='leconvmn_ros',
        executable=executable,
        output='screen',
        parameters=[LaunchConfiguration('params_file'), parameters],
        **more,
    )


def _shutdown_after_error(event: ProcessExited, _: LaunchContext) -> Shutdown | None:
    """End all when a node failed: the others would wait for it for ever."""
    if event.returncode == 0:
        return None
    return Shutdown(reason=f'{event.process_name} ended with code {event.returncode}')


def generate_launch_description() -> LaunchDescription:
    """Start replay, decoder and evaluator; the end of the evaluator ends all."""
    return LaunchDescription(
        [
            *ARGUMENTS,
            _node(
                'decoder',
                {'checkpoint': str, 'device': str, 'output_rate': float},
                on_exit=_shutdown_after_error,
            ),
            _node(
                'evaluator',
                {'checkpoint': str, 'output': str, 'reference_lag': float},
                on_exit=Shutdown(),
            ),
            _node(
                'replay',
                {'bag': str, 'rate': float},
                on_exit=_shutdown_after_error,
                remappings=[
                    (LaunchConfiguration('emg'), 'emg'),
                    (LaunchConfiguration('reference'), 'joint_states_reference'),
                ],
            ),
        ]
    )
