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

"""The base of all settings and file contents, and its validation errors in one line."""

from collections.abc import Callable
from typing import Any, TypeVar

from leconvmn_ros.core.errors import MalformedMessageError
from pydantic import BaseModel, ConfigDict, ValidationError

# Far more than the messages of this package need.
LARGEST_MESSAGE = 2**16  # characters


class StrictModel(BaseModel):
    """Settings that cannot be changed, with no unknown names, NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)


Message = TypeVar('Message', bound=StrictModel)


def parse_message(model: type[Message], text: str, what: str) -> Message:
    """Parse a message that carries a model as JSON.

    Args:
        model: the model.
        text: content of the message.
        what: name of the message, for errors.

    Raises:
        MalformedMessageError: the text is too long, or is no such model.
    """
    if len(text) > LARGEST_MESSAGE:
        raise MalformedMessageError(
            f'{what} of {len(text)} characters; at most {LARGEST_MESSAGE} are read'
        )
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise MalformedMessageError(f'{what}: {first_problem(error)}') from error


def first_problem(error: ValidationError, name_of: Callable[[str], str] = str) -> str:
    """Return one line: where, what is allowed, the value, and how many more problems there are.

    Args:
        error: what pydantic raised.
        name_of: gives the user's name of a setting from its place, such as fit.recurrent.epochs.
    """
    problem = error.errors(include_url=False)[0]
    message = problem['msg'].removeprefix('Value error, ')
    # A validator of the whole model names the values itself.
    place = name_of('.'.join(map(str, problem['loc']))) if problem['loc'] else ''
    text = f'{place}: {message}, got {_shown(problem["input"])}' if place else message
    more = error.error_count() - 1
    return f'{text} (and {more} more)' if more else text


def _shown(value: Any) -> str:
    try:
        return repr(str(value)[:80])
    except ValueError:  # Python does not print numbers of thousands of digits
        return 'a number of too many digits'
