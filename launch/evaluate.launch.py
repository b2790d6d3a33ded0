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

Everything ends with the bag. The parameters in `params_file` make all topics lossless: a slow
reader holds the replay back. All topics are in one namespace. The arguments of decoder.launch.py
work, too.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    Shutdown,
)
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare('leconvmn_ros')

ARGUMENTS = [
    DeclareLaunchArgument('bag', description='rosbag2 folder to play'),
    # Declared again, since required arguments of an included file must be passed on.
    DeclareLaunchArgument('checkpoint', description='folder of the trained decoder'),
    DeclareLaunchArgument(
        'output', default_value='evaluation', description='folder for scores and plot'
    ),
    DeclareLaunchArgument(
        'rate', default_value='1.0', description='speed; 0 = as fast as the decoder keeps up'
    ),
    DeclareLaunchArgument('emg', default_value='emg', description='topic of the EMG in the bag'),
    DeclareLaunchArgument(
        'reference',
        default_value='joint_states_reference',
        description='topic of the measured angles in the bag',
    ),
    DeclareLaunchArgument(
        'reference_lag', default_value='0.0', description='lag of the measured angles (s)'
    ),
    DeclareLaunchArgument(
        'namespace', default_value='evaluation', description='namespace of all nodes and topics'
    ),
    DeclareLaunchArgument(
        'params_file',
        default_value=PathJoinSubstitution([SHARE, 'config', 'evaluate.yaml']),
        description='further parameters of the three nodes',
    ),
]


def _node(executable: str, parameters: dict[str, object], **more: object) -> Node:
    """Make a node of this package."""
    return Node(
        package='leconvmn_ros',
        executable=executable,
        namespace=LaunchConfiguration('namespace'),
        output='screen',
        parameters=[LaunchConfiguration('params_file'), parameters],
        **more,
    )


def _given(**types: type) -> dict[str, ParameterValue]:
    """Return arguments as typed parameters; a folder called 123 must not become a number."""
    return {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind in types.items()
    }


def _shutdown_after_error(event: ProcessExited, _: LaunchContext) -> Shutdown | None:
    """End everything if the replay fails, since the others would wait for it forever."""
    if event.returncode == 0:
        return None
    return Shutdown(reason=f'{event.process_name} ended with code {event.returncode}')


def _replay(context: LaunchContext) -> list[Node]:
    """Play the bag with the usual topic names, within the namespace."""
    topics = {
        LaunchConfiguration(argument).perform(context).lstrip('/'): usual
        for argument, usual in (('emg', 'emg'), ('reference', 'joint_states_reference'))
    }
    return [
        _node(
            'replay',
            _given(bag=str, rate=float) | {'publish_clock': False},
            on_exit=_shutdown_after_error,
            remappings=list(topics.items()),
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Start replay, decoder and evaluator; everything ends with the evaluator."""
    decoder = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(
            PathJoinSubstitution([SHARE, 'launch', 'decoder.launch.py'])
        ),
        # The replay publishes EMG under its usual name, within the namespace.
        launch_arguments={
            'checkpoint': LaunchConfiguration('checkpoint'),
            'emg': 'emg',
            'required': 'true',
        }.items(),
    )
    return LaunchDescription(
        [
            *ARGUMENTS,
            OpaqueFunction(function=_replay),
            _node(
                'evaluator',
                _given(checkpoint=str, output=str, reference_lag=float),
                on_exit=Shutdown(),
            ),
            decoder,
        ]
    )
