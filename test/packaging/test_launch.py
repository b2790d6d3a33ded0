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

"""The launch files, with the real `ros2 launch` where there is one."""

import ast
from collections.abc import Mapping
from io import StringIO
import json
import os
from pathlib import Path
import re
import shutil
import signal
import subprocess
import sys
from textwrap import dedent
from typing import Any, TYPE_CHECKING
import warnings

from leconvmn_ros.hands.profile import load_profile
from leconvmn_ros.hands.urdf import ESTIMATE, GHOST, hand_urdf, ROOT
from leconvmn_ros.nodes.parameters import all_parameters
import numpy as np
import pytest
from ruamel.yaml import YAML
from scipy.spatial.transform import Rotation
from small_recordings import small_bag, untrained_checkpoint

if TYPE_CHECKING:
    from node_harness import Peer

LAUNCH = Path(__file__).parents[2] / 'launch'
ROS2 = shutil.which('ros2')

# launch and launch_ros are in every ROS 2 installation, but not on PyPI.
if ROS2 is None:
    warnings.warn(
        'LAUNCH FILES NOT TESTED: no ros2 command here; run the tests in a ROS 2 installation',
        stacklevel=1,
    )
with_ros2 = pytest.mark.skipif(ROS2 is None, reason='no `ros2 launch` here: LAUNCH FILES UNTRIED')


def launch(
    *arguments: object, environment: Mapping[str, str] | None = None
) -> 'subprocess.Popen[str]':
    return subprocess.Popen(
        ['ros2', 'launch', 'leconvmn_ros', *map(str, arguments)],
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def output_of(process: 'subprocess.Popen[str]', timeout: float = 60) -> str:
    try:
        return process.communicate(timeout=timeout)[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize('file', sorted(LAUNCH.glob('*.launch.py')), ids=lambda path: path.name)
def test_launch_file_is_valid_python_that_says_how_to_use_it(file: Path) -> None:
    code = compile(file.read_text(encoding='utf-8'), file, 'exec')

    assert f'ros2 launch leconvmn_ros {file.name}' in str(code.co_consts[0])


# What the documentation of launch and launch_ros (Jazzy) offers, of which the files use nothing
# else: names by module, and the arguments of those that are called.
DOCUMENTED = {
    'ament_index_python.packages': {
        'get_package_prefix': {'package_name'},
        'PackageNotFoundError': set(),
    },
    'launch': {
        'LaunchContext': set(),
        'LaunchDescription': {'initial_entities'},
        'Condition': set(),
    },
    'launch.actions': {
        'DeclareLaunchArgument': {'default_value', 'description', 'choices'},
        'IncludeLaunchDescription': {'launch_arguments'},
        'OpaqueFunction': {'function', 'args', 'kwargs'},
        'Shutdown': {'reason'},
    },
    'launch.conditions': {'IfCondition': set()},
    'launch.events.process': {'ProcessExited': set()},
    'launch.launch_description_sources': {'PythonLaunchDescriptionSource': set()},
    'launch.substitutions': {
        name: set()
        for name in (
            *('AndSubstitution', 'Command', 'EqualsSubstitution', 'LaunchConfiguration'),
            *('NotEqualsSubstitution', 'OrSubstitution', 'PathJoinSubstitution'),
        )
    },
    'launch_ros.actions': {
        'Node': {
            *('package', 'executable', 'name', 'namespace', 'parameters', 'remappings'),
            *('arguments', 'output', 'condition', 'on_exit'),
        }
    },
    'launch_ros.parameter_descriptions': {'ParameterValue': {'value_type'}},
    'launch_ros.substitutions': {'FindPackagePrefix': set(), 'FindPackageShare': set()},
}


@pytest.mark.parametrize('file', sorted(LAUNCH.glob('*.launch.py')), ids=lambda path: path.name)
def test_launch_file_uses_what_launch_documents(file: Path) -> None:
    """Not the same as running it, which needs `ros2 launch`; see the tests below."""
    tree = ast.parse(file.read_text(encoding='utf-8'))
    imported: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                assert alias.name in DOCUMENTED[node.module], f'{node.module}.{alias.name}'
                imported[alias.name] = DOCUMENTED[node.module][alias.name]
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in imported
    ]
    assert calls
    for call in calls:
        given = {keyword.arg for keyword in call.keywords if keyword.arg}
        assert given <= imported[call.func.id], ast.unparse(call)


@pytest.mark.parametrize('file', sorted(LAUNCH.glob('*.launch.py')), ids=lambda path: path.name)
def test_parameters_that_a_launch_file_sets_are_those_of_its_nodes(file: Path) -> None:
    """Whatever it gives to a node as a parameter is in the table of that node."""
    text = file.read_text(encoding='utf-8')
    known = {p.name for parameters in all_parameters().values() for p in parameters}
    given = set(re.findall(r"'([a-z_]+)': (?:ParameterValue|True|False|'|[\d.]+)", text))
    foreign = {'robot_description', 'frame_prefix', 'publish_frequency', 'use_sim_time'}
    assert given - foreign - {'required', 'emg', 'rviz', 'frames'} <= known
    for names in re.findall(r'_given\(([^)]*)\)', text):
        assert {name.partition('=')[0].strip() for name in names.split(',')} <= known | {
            '**types: type'
        }


def test_arguments_are_declared_once() -> None:
    """The other launch files include decoder.launch.py; they redeclare only what differs there."""
    declared = {
        file.name: re.findall(r"DeclareLaunchArgument\(\s*'(\w+)'", file.read_text())
        for file in LAUNCH.glob('*.launch.py')
    }
    shared = set(declared.pop('decoder.launch.py'))
    assert set(declared['hand.launch.py']) & shared == {'checkpoint', 'emg'}
    assert set(declared['evaluate.launch.py']) & shared == {
        *('checkpoint', 'emg', 'namespace', 'params_file')
    }


@with_ros2
@pytest.mark.parametrize('file', sorted(LAUNCH.glob('*.launch.py')), ids=lambda path: path.name)
def test_every_argument_is_described(file: Path) -> None:
    text = output_of(launch(file.name, '--show-args'))

    arguments = [line for line in text.splitlines() if line.startswith("    '")]
    assert arguments
    assert 'No description given' not in text


@with_ros2
def test_evaluate_replays_decodes_scores_and_ends(tmp_path: Path) -> None:
    bag = small_bag(tmp_path, 6.5)  # repetition 3, which is scored, begins at 4 s
    checkpoint = untrained_checkpoint(tmp_path)
    output = tmp_path / 'results'
    files = [f'bag:={bag}', f'checkpoint:={checkpoint}', f'output:={output}', 'rate:=0.0']

    text = output_of(launch('evaluate.launch.py', *files))

    report = json.loads((output / 'scores.json').read_text(encoding='utf-8'))
    assert report['estimates'] > 0, text
    assert report['lost_emg_samples'] == 0


@with_ros2
def test_evaluate_ends_when_there_is_no_such_bag(tmp_path: Path) -> None:
    checkpoint = untrained_checkpoint(tmp_path)

    text = output_of(
        launch('evaluate.launch.py', f'bag:={tmp_path}/none', f'checkpoint:={checkpoint}')
    )

    assert f'{tmp_path}/none' in text


@with_ros2
def test_decoder_starts_with_its_arguments_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    checkpoint = untrained_checkpoint(tmp_path)
    process = launch('decoder.launch.py', f'checkpoint:={checkpoint}', 'output_rate:=20')
    seen = ''
    for line in process.stdout or ():
        seen += line
        if '20 Hz out' in line:
            break

    os.killpg(process.pid, signal.SIGINT)

    seen += output_of(process)
    assert '20 Hz out' in seen
    assert 'Traceback' not in seen


@with_ros2
def test_hand_plays_a_bag_to_its_end_without_rviz(tmp_path: Path) -> None:
    bag = small_bag(tmp_path, 1.0)
    checkpoint = untrained_checkpoint(tmp_path)
    files = [f'bag:={bag}', f'checkpoint:={checkpoint}']

    text = output_of(
        launch('hand.launch.py', *files, 'rviz:=false', 'frames:=false', 'loop:=false')
    )

    assert '50 Hz out' in text
    assert 'done: ' in text
    assert 'Traceback' not in text


@with_ros2
@pytest.mark.parametrize(
    ('arguments', 'package'),
    [(['frames:=false'], 'rviz2'), (['rviz:=false'], 'robot_state_publisher')],
)
def test_a_missing_package_is_named_with_its_remedy(
    tmp_path: Path, arguments: list[str], package: str
) -> None:
    pytest.importorskip('launch')
    if shutil.which('rviz2'):
        pytest.skip('RViz is installed here')
    checkpoint = untrained_checkpoint(tmp_path)

    text = output_of(launch('hand.launch.py', f'checkpoint:={checkpoint}', *arguments))

    debian = package.replace('_', '-')
    assert f'{package} is not installed: sudo apt install ros-' in text
    assert debian in text
    assert '50 Hz out' not in text


@with_ros2
def test_the_human_hand_has_a_namespace_of_its_own_and_the_robot_keeps_its_topics(
    tmp_path: Path, ros: 'Peer'
) -> None:
    """A Shadow hand, whose own pose is on /joint_states."""
    from sensor_msgs.msg import JointState
    from trajectory_msgs.msg import JointTrajectory

    bag = small_bag(tmp_path, 30.0)
    files = [f'bag:={bag}', f'checkpoint:={untrained_checkpoint(tmp_path)}']
    hand = ['hand:=shadow_right', 'command_topic:=/robot/hand', 'rviz:=false', 'frames:=false']
    estimates = ros.collect('/human_hand/joint_states', JointState)
    commands = ros.collect('/robot/hand', JointTrajectory)
    process = launch('hand.launch.py', *files, *hand)
    try:
        robot = ros.publisher('/joint_states', JointState, 10)
        rest = load_profile('shadow_right').rest_pose

        def moves() -> bool:
            robot.publish(JointState(name=list(rest), position=list(rest.values())))
            return bool(commands)

        assert ros.spin_until(moves)
        assert estimates
        assert ros.node.count_publishers('/joint_states') == 1
        assert ros.node.count_publishers('/clock') == 0
    finally:
        os.killpg(process.pid, signal.SIGINT)
        text = output_of(process)
    assert 'Traceback' not in text


@with_ros2
def test_hand_describes_both_hands_to_robot_state_publisher(tmp_path: Path) -> None:
    checkpoint = untrained_checkpoint(tmp_path)
    environment = stand_in_for_robot_state_publisher(tmp_path)
    arguments = [f'checkpoint:={checkpoint}', 'side:=left', 'ghost:=true', 'rviz:=false']
    process = launch('hand.launch.py', *arguments, environment=environment)
    described: dict[str, dict[str, object]] = {}
    for line in process.stdout or ():
        if 'GIVEN ' in line:
            parameters = json.loads(line.partition('GIVEN ')[2])
            described[parameters['frame_prefix']] = parameters
        if len(described) == 2:
            break

    os.killpg(process.pid, signal.SIGINT)

    output_of(process)
    for prefix, look in (('estimate/', ESTIMATE), ('reference/', GHOST)):
        assert described[prefix]['robot_description'] == hand_urdf('left', look)


@with_ros2
def test_robot_state_publisher_moves_the_hand_as_its_forward_kinematics_say(
    tmp_path: Path, ros: 'Peer'
) -> None:
    """The real robot_state_publisher against another library."""
    tf2_msgs = pytest.importorskip('tf2_msgs.msg', reason='no robot_state_publisher here')
    yourdfpy = pytest.importorskip('yourdfpy')
    from node_harness import LATCHED
    from sensor_msgs.msg import JointState

    moving = ros.collect('/tf', tf2_msgs.TFMessage)
    fixed = ros.collect('/tf_static', tf2_msgs.TFMessage, LATCHED)
    states = ros.collect('joint_states_reference', JointState)
    files = [f'bag:={small_bag(tmp_path, 4.0)}', f'checkpoint:={untrained_checkpoint(tmp_path)}']

    process = launch('hand.launch.py', *files, 'rviz:=false', 'loop:=false')
    ros.spin_until(lambda: process.poll() is not None)

    text = output_of(process)
    assert 'done: ' in text
    still = {sent.child_frame_id: sent for a in fixed for sent in a.message.transforms}
    sent_at: dict[tuple[int, int], dict[str, Any]] = {}
    for sent in (sent for arrival in moving for sent in arrival.message.transforms):
        if sent.child_frame_id.startswith('reference/'):
            sent_at.setdefault(stamp(sent), {})[sent.child_frame_id] = sent
    answered = [a.message for a in states if stamp(a.message) in sent_at]
    assert len(answered) > len(states) / 2, text  # it has just been started, and may be late
    hand = yourdfpy.URDF.load(StringIO(hand_urdf('right')))
    for state in answered[:: len(answered) // 20 or 1]:
        hand.update_cfg(dict(zip(state.name, state.position, strict=True)))
        for finger in ('thumb', 'index', 'middle', 'ring', 'little'):
            frame = f'{finger}_tip_link'
            place = place_on_palm(f'reference/{frame}', still | sent_at[stamp(state)])
            assert place == pytest.approx(hand.get_transform(frame, ROOT), abs=1e-9)


def stamp(message: Any) -> tuple[int, int]:
    return message.header.stamp.sec, message.header.stamp.nanosec


def place_on_palm(frame: str, sent: Mapping[str, Any]) -> 'np.ndarray':
    """Follow the transforms from a frame to the palm; return them as one, shape (4, 4)."""
    place = np.eye(4)
    while not frame.endswith(f'/{ROOT}'):
        q, t = sent[frame].transform.rotation, sent[frame].transform.translation
        step = np.eye(4)
        step[:3, :3] = Rotation.from_quat((q.x, q.y, q.z, q.w)).as_matrix()
        step[:3, 3] = t.x, t.y, t.z
        place = step @ place
        frame = sent[frame].header.frame_id
    return place


def test_rviz_shows_the_hands_that_the_launch_file_describes() -> None:
    """Seen in the real RViz; here, that the names still are those of the test before."""
    config = YAML(typ='safe').load(LAUNCH.parent / 'config' / 'hand.rviz')
    manager = config['Visualization Manager']
    hands = [shown for shown in manager['Displays'] if shown['Class'].endswith('/RobotModel')]

    assert {hand['TF Prefix'] for hand in hands} == {'estimate', 'reference'}
    for hand in hands:
        topic = hand['Description Topic']
        assert topic['Value'] == f'/{hand["TF Prefix"]}/robot_description'
        assert topic['Durability Policy'] == 'Transient Local'  # it is published once
    assert manager['Global Options']['Fixed Frame'] == f'estimate/{ROOT}'


def stand_in_for_robot_state_publisher(folder: Path) -> dict[str, str]:
    """Make packages of programs that print their parameters; return what lets launch find them.

    The real ones are not on PyPI.
    """
    program = f"""\
        #!{sys.executable}
        import json, sys, time, yaml
        if '--params-file' in sys.argv:
            with open(sys.argv[sys.argv.index('--params-file') + 1]) as file:
                (given,) = yaml.safe_load(file).values()
            print('GIVEN', json.dumps(given['ros__parameters']), flush=True)
        time.sleep(100)
    """
    for package, name in (
        ('robot_state_publisher', 'robot_state_publisher'),
        ('tf2_ros', 'static_transform_publisher'),
    ):
        path = folder / 'lib' / package / name
        path.parent.mkdir(parents=True)
        path.write_text(dedent(program))
        path.chmod(0o755)
        marker = folder / 'share' / 'ament_index' / 'resource_index' / 'packages' / package
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    places = [str(folder), os.environ.get('AMENT_PREFIX_PATH', sys.prefix)]
    return {'AMENT_PREFIX_PATH': os.pathsep.join(places)}
