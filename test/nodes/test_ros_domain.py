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

"""Commands that start nodes: in a domain of their own whatever is exported, unless asked."""

import argparse
import re
import sys

from leconvmn_ros.commands.parsers.demo import add_arguments
from leconvmn_ros.core import ros_domain
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.core.node_processes import node_processes
from leconvmn_ros.core.ros_domain import CURRENT, domain_argument, OWN, ros_environment, to_listen
import pytest

EXPORTED = {
    'ROS_DOMAIN_ID': '42',
    'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET',
    'ROS_STATIC_PEERS': 'robot.local',
    'ROS_DISCOVERY_SERVER': 'robot.local:11811',
    'ROS_NAMESPACE': '/robot',
    'FASTRTPS_DEFAULT_PROFILES_FILE': '/etc/robot.xml',
}


@pytest.fixture
def exported(monkeypatch):
    for name, value in EXPORTED.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Makes shell scripts in the place of nodes."""
    monkeypatch.setattr(sys, 'prefix', str(tmp_path))

    def make(name, script):
        program = tmp_path / 'lib' / 'leconvmn_ros' / name
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\n{script}\n')
        program.chmod(0o755)

    return make


@pytest.mark.usefixtures('exported')
def test_the_domain_is_its_own_whatever_is_exported():
    with ros_environment() as environment:
        assert environment['ROS_DOMAIN_ID'] not in {'0', '42'}
        assert environment['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
        assert not {*EXPORTED} & {*environment} - {
            'ROS_DOMAIN_ID',
            'ROS_AUTOMATIC_DISCOVERY_RANGE',
        }
        assert to_listen(environment) == (
            f'ROS_DOMAIN_ID={environment["ROS_DOMAIN_ID"]} ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST'
        )


@pytest.mark.usefixtures('exported')
def test_the_current_domain_or_a_number_only_when_asked_for():
    with ros_environment(CURRENT) as environment:
        assert {name: environment[name] for name in EXPORTED} == EXPORTED
    with ros_environment('7') as environment:
        assert environment['ROS_DOMAIN_ID'] == '7'
        assert environment['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'SUBNET'


def test_two_commands_never_have_the_same_domain(monkeypatch):
    monkeypatch.setattr(ros_domain, 'DOMAINS', range(90, 93))
    monkeypatch.delenv('ROS_DOMAIN_ID')
    with ros_environment() as one, ros_environment() as two, ros_environment() as three:
        numbers = {each['ROS_DOMAIN_ID'] for each in (one, two, three)}
        assert numbers == {'90', '91', '92'}
        fourth = ros_environment()
        with pytest.raises(ConfigurationError, match='all ROS domains from 90 to 92 are taken'):
            fourth.__enter__()
    with ros_environment() as again:
        assert again['ROS_DOMAIN_ID'] in numbers


@pytest.mark.parametrize('text', ['own', 'current', '0', '232'])
def test_domains_that_can_be_asked_for(text):
    assert domain_argument(text) == text


@pytest.mark.parametrize('text', ['', 'mine', '-1', '233', '1.0', '\u0663'])
def test_domains_that_cannot(text):
    with pytest.raises(ValueError, match=f'^{re.escape(text)}$'):
        domain_argument(text)


def test_the_demo_takes_its_own_unless_asked():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert parser.parse_args([]).domain == OWN
    assert parser.parse_args(['--domain', 'current']).domain == CURRENT


@pytest.mark.usefixtures('exported')
def test_nodes_get_the_environment_of_their_domain(node, tmp_path):
    node('node', 'echo "domain $ROS_DOMAIN_ID, peers $ROS_STATIC_PEERS"')
    with node_processes(tmp_path / 'logs') as launcher:
        started = launcher.start('node', {})
        started.process.wait()
        number = launcher.environment['ROS_DOMAIN_ID']
        assert started.said() == [f'domain {number}, peers ']
        assert number != '42'


def test_publishers_beside_the_nodes_are_found_in_what_the_nodes_say(node, tmp_path):
    line = '[ERROR] several nodes publish joint_states: their estimates cannot be told apart'
    node('evaluator', f'echo "{line}"')
    with node_processes(tmp_path / 'logs') as launcher:
        assert launcher.disturbed() is None
        launcher.start('evaluator', {}).process.wait()
        assert launcher.disturbed() == line
