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

"""A node that is to run secured and cannot says why and what to do."""

import pytest


@pytest.mark.parametrize('name', ['decoder', 'evaluator', 'load', 'replay', 'retarget', 'viewer'])
def test_security_without_a_keystore_is_explained(start, monkeypatch, name):
    monkeypatch.setenv('ROS_SECURITY_ENABLE', 'true')
    monkeypatch.setenv('ROS_SECURITY_STRATEGY', 'Enforce')
    monkeypatch.delenv('ROS_SECURITY_KEYSTORE', raising=False)
    node = start(name)
    assert node.wait() == 1
    assert 'ROS_SECURITY_KEYSTORE=(not set)' in node.text
    assert 'ros2 security generate_artifacts' in node.text
    assert 'Traceback' not in node.text


def test_an_enclave_that_cannot_be_used_is_explained(start, tmp_path, monkeypatch):
    """Without security in the middleware; with it, for there are no keys in this enclave."""
    (tmp_path / 'enclaves' / 'mine').mkdir(parents=True)
    monkeypatch.setenv('ROS_SECURITY_ENABLE', 'true')
    monkeypatch.setenv('ROS_SECURITY_STRATEGY', 'Enforce')
    monkeypatch.setenv('ROS_SECURITY_KEYSTORE', str(tmp_path))
    node = start('decoder', '--enclave', '/mine')
    assert node.wait() == 1
    assert 'the environment asks for security' in node.text
    assert 'Traceback' not in node.text


def test_other_faults_are_not_blamed_on_security(start, monkeypatch):
    monkeypatch.setenv('ROS_SECURITY_ENABLE', 'true')
    monkeypatch.setenv('ROS_SECURITY_STRATEGY', 'Permissive')
    node = start('decoder', '-r', 'nonsense')
    assert node.wait() == 1
    assert "Couldn't parse remap rule" in node.text
    assert 'asks for security' not in node.text
