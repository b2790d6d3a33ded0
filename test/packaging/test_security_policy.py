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

"""The example SROS2 policy allows each node what it does, and no more."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from sensor_msgs.msg import JointState
from small_recordings import small_bag, untrained_checkpoint

POLICY = Path(__file__).resolve().parents[2] / 'config' / 'sros2_policy.xml'
PROFILES = {
    profile.get('node'): profile
    for profile in ET.parse(POLICY).iter('profile')  # noqa: S314 - of this repository
}
# Not there without simulated time, or with every node, whatever it does.
MAY_BE_ALLOWED = {'/clock', '/parameter_events', '/rosout'}


def allowed(node, kind, action):
    """Return the full names that a node may use: 'topics' to 'publish', for example."""
    return {
        name.text.replace('~', f'/{node}') if name.text[0] in '~/' else f'/{name.text}'
        for part in PROFILES[node].findall(kind)
        if part.get(action) == 'ALLOW'
        for name in part
    }


def used(names_and_types):
    return {name for name, _ in names_and_types}


@pytest.mark.parametrize('name', ['decoder', 'emg_source', 'evaluator', 'replay'])
def test_a_node_may_do_what_it_does_and_no_more(ros, start, tmp_path, name):
    parameters = {
        'decoder': lambda: {'checkpoint': untrained_checkpoint(tmp_path)},
        'emg_source': lambda: {'source': 'mindrove'},
        'evaluator': lambda: {'output': tmp_path / 'results'},
        'replay': lambda: {'bag': small_bag(tmp_path, 1.0), 'start_paused': True},
    }[name]()
    if name == 'evaluator':  # it listens to the EMG once the others are there
        for topic in ('joint_states', 'joint_states_reference'):
            ros.node.create_publisher(JointState, topic, 10)
    start(name, parameters=parameters)

    def publishes():
        return used(ros.node.get_publisher_names_and_types_by_node(name, '/'))

    def subscribes():
        return used(ros.node.get_subscriber_names_and_types_by_node(name, '/'))

    def serves():
        return used(ros.node.get_service_names_and_types_by_node(name, '/'))

    # A node is there before all that it has is.
    for uses, kind, action in (
        (publishes, 'topics', 'publish'),
        (subscribes, 'topics', 'subscribe'),
        (serves, 'services', 'reply'),
    ):
        may = allowed(name, kind, action)
        assert ros.spin_until(
            lambda uses=uses, may=may: (
                name in ros.node.get_node_names() and may - MAY_BE_ALLOWED <= uses()
            )
        ), may - uses()
        assert uses() <= may


def test_only_the_retargeting_may_move_the_hand():
    commands = {
        topic
        for node in PROFILES
        for topic in allowed(node, 'topics', 'publish')
        if 'hand' in topic
    }
    assert commands
    for node in PROFILES.keys() - {'retarget'}:
        assert not allowed(node, 'topics', 'publish') & commands


def test_sros2_takes_every_child_for_an_enclave():
    """A comment between the enclaves makes its key generator fail."""
    parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))  # noqa: S314
    enclaves = ET.parse(POLICY, parser).getroot().find('enclaves')  # noqa: S314
    assert [child.get('path') for child in enclaves] == [
        f'/leconvmn_ros/{node}' for node in PROFILES
    ]
