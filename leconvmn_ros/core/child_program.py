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

"""How a child process of ours starts."""

from collections.abc import Callable
import json
import os
import sys
from typing import Any

# Python puts the working directory first among the places it imports from, with -c as with -m.
# Whoever starts a node in a folder of a stranger must not run that folder's modules.
_START = """
import sys
sys.path[:] = [place for place in sys.path if place]
sys.argv[:1] = [{module!r}]
from {module} import main
main()
"""


def child_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs the function `main` of one of our modules.

    Nothing is imported from the working directory, unless it is named in PYTHONPATH.

    Args:
        module: full name.
        arguments: `sys.argv[1:]` of the child.
    """
    return [sys.executable, '-c', _START.format(module=module), *arguments]


def answers_to_parent() -> Callable[[dict[str, Any]], None]:
    """Return, in the child, what sends an answer to the parent as one line of JSON.

    From now on the output of a library goes to standard error, where it cannot be mistaken for an
    answer.
    """
    answers = os.fdopen(os.dup(1), 'w', encoding='utf-8')
    os.dup2(2, 1)

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + '\n')
        answers.flush()

    return say
