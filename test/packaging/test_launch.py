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

from collections.abc import Mapping
from io import StringIO
import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
from textwrap import dedent
from typing import Any, TYPE_CHECKING
import warnings

from leconvmn_ros.hands.urdf import ESTIMATE, GHOST, hand_urdf, ROOT
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
