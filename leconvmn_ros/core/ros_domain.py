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

"""Reserves a ROS domain: nodes that a command starts must not join a graph that moves a robot."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
import os
import random
import socket

from leconvmn_ros.core.errors import ConfigurationError

# Higher numbers collide with the ephemeral ports of Linux; 0 is the default that everybody shares.
DOMAINS = range(1, 102)
OWN, CURRENT = 'own', 'current'
# Variables that would lead out of the domain, or change the names that are expected.
_LEADING_ELSEWHERE = (
    'FASTRTPS_DEFAULT_PROFILES_FILE',
    'FASTDDS_DEFAULT_PROFILES_FILE',
    'CYCLONEDDS_URI',
    'ROS_DISCOVERY_SERVER',
    'ROS_LOCALHOST_ONLY',
    'ROS_NAMESPACE',
    'ROS_STATIC_PEERS',
)


def domain_argument(text: str) -> str:
    """Check a domain from the command line: own, current, or a number from 0 to 232.

    Raises:
        ValueError: it is none of these.
    """
    if text not in {OWN, CURRENT} and not (
        text.isascii() and text.isdecimal() and int(text) <= 232
    ):
        raise ValueError(text)
    return text


@contextmanager
def ros_environment(domain: str = OWN) -> Iterator[dict[str, str]]:
    """Yield the environment for nodes that talk to each other within this context.

    Args:
        domain: OWN, a domain that nobody else uses, limited to this machine whatever the
            environment says; CURRENT, that of the environment; or a domain number.

    Raises:
        ConfigurationError: there is no domain left.
    """
    if domain == CURRENT:
        yield dict(os.environ)
        return
    if domain != OWN:
        yield os.environ | {'ROS_DOMAIN_ID': domain}
        return
    kept = {name: value for name, value in os.environ.items() if name not in _LEADING_ELSEWHERE}
    with _reserved_domain() as number:
        yield kept | {
            'ROS_DOMAIN_ID': str(number),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        }


def to_listen(environment: Mapping[str, str]) -> str:
    """Return, in shell syntax, the environment another program needs to hear the nodes."""
    names = ('ROS_DOMAIN_ID', 'ROS_AUTOMATIC_DISCOVERY_RANGE')
    return ' '.join(f'{name}={environment[name]}' for name in names if name in environment)


@contextmanager
def _reserved_domain() -> Iterator[int]:
    """Reserve a domain against all other commands of this package on this machine."""
    # The user's own nodes run in the domain of the environment.
    free = [number for number in DOMAINS if str(number) != os.environ.get('ROS_DOMAIN_ID')]
    for number in random.SystemRandom().sample(free, len(free)):
        # An abstract socket, not a file: the kernel frees it however this process ends.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reservation:
            try:
                reservation.bind(f'\0leconvmn_ros_domain_{number}')
            except OSError:
                continue
            yield number
            return
    raise ConfigurationError(
        f'all ROS domains from {DOMAINS[0]} to {DOMAINS[-1]} are taken by other commands of this '
        'package on this machine'
    )
