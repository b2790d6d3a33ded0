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

"""The topics and message types of our bags, known to rosbags without a ROS installation."""

from functools import cache
from importlib.resources import files
from typing import NamedTuple, TYPE_CHECKING

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.typesys import get_types_from_idl, get_types_from_msg, get_typestore, Stores
from rosbags.typesys.store import Typestore

if TYPE_CHECKING:
    from rosbags.interfaces.typing import Typesdict

EMG_TOPIC = '/emg'
REFERENCE_TOPIC = '/joint_states_reference'
LABEL_TOPIC = '/movement_label'
ESTIMATE_TOPIC = '/joint_states'
# What the wearer is asked to do.
CUE_TOPIC = '/cue_joint_states'
DESCRIPTION_TOPIC = '/emg_description'

EMG_TYPE = 'leconvmn_ros/msg/EmgArray'
REFERENCE_TYPE = 'sensor_msgs/msg/JointState'
LABEL_TYPE = 'leconvmn_ros/msg/MovementLabel'

_OWN_TYPES = (EMG_TYPE, LABEL_TYPE)
_SECTION = '=' * 80


class TypeDefinition(NamedTuple):
    """The definition of a message type in a bag, so that it can be read without the type.

    Attributes:
        text: .msg text followed by those of the types it uses, as rosbag2 concatenates them.
        digest: ROS type hash (RIHS01, see REP-2016).
    """

    text: str
    digest: str


@cache
def typestore() -> Typestore:
    """Return the message types of ROS 2 Jazzy together with those of this package."""
    store = get_typestore(Stores.ROS2_JAZZY)
    types: Typesdict = {}
    for name in _OWN_TYPES:
        types.update(get_types_from_msg(_own_text(name), name))
    store.register(types)
    return store


@cache
def type_definition(name: str) -> TypeDefinition:
    """Return the definition of a type of `typestore`; ours include comments (units)."""
    store = typestore()
    text, _ = store.generate_msgdef(name, ros_version=2)
    if name in _OWN_TYPES:
        _, separator, used_types = text.partition(_SECTION)
        text = _own_text(name) + separator + used_types
    return TypeDefinition(text, store.hash_rihs01(name))


def is_same_type(name: str, definition: MessageDefinition, digest: str) -> bool:
    """Whether a type found in a bag has the fields that we know under its name.

    Args:
        name: name of a type of `typestore`.
        definition: definition in the bag, of format NONE if the bag has none.
        digest: ROS type hash in the bag, empty if the bag has none.

    Returns:
        Whether all fields are equal; True if the bag has neither definition nor hash.

    Raises:
        rosbags.typesys.TypesysError: the definition cannot be parsed.
    """
    if digest:
        return digest == type_definition(name).digest
    if definition.format is MessageDefinitionFormat.NONE:
        return True
    # Parse only, never register: rosbags generates and runs code for registered types.
    if definition.format is MessageDefinitionFormat.IDL:
        types = get_types_from_idl(definition.data)
    else:
        types = get_types_from_msg(definition.data, name)
    known = typestore().fielddefs
    return name in types and all(
        known[key][1] == fields for key, (_, fields) in types.items() if key in known
    )


def _own_text(name: str) -> str:
    package, _, message = name.split('/')
    return (files(package) / 'msg' / f'{message}.msg').read_text(encoding='utf-8')
