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

"""The tables of parameters: what is declared is what is documented, and nothing else is taken."""

from pathlib import Path
import re

from leconvmn_ros.nodes.parameters import all_parameters, as_markdown, Parameter

NODES = Path(__file__).parents[2] / 'leconvmn_ros' / 'nodes'


def test_every_executable_node_has_a_table():
    modules = {path.stem for path in NODES.glob('*.py') if '\ndef main(' in path.read_text()}
    assert set(all_parameters()) == modules
    assert {'decoder', 'evaluator', 'replay', 'retarget', 'viewer'} <= modules


def test_no_node_declares_a_parameter_beside_its_table():
    declaring = {
        path.name
        for path in NODES.glob('*.py')
        if re.search(r'declare_parameter\(', path.read_text())
    }
    assert declaring == {'parameters.py'}


def test_defaults_are_allowed_and_described():
    for parameters in all_parameters().values():
        assert len({parameter.name for parameter in parameters}) == len(parameters)
    for parameter in (one for parameters in all_parameters().values() for one in parameters):
        assert parameter.description
        if parameter.allowed is not None:
            assert parameter.allowed[0] <= parameter.default <= parameter.allowed[1]
        if parameter.choices:
            assert parameter.default in parameter.choices


def test_a_table_is_documented_row_by_row():
    table = as_markdown(
        [
            Parameter('side', 'right', 'which hand', choices=('right', 'left')),
            Parameter('rate', 50.0, 'estimates per second (Hz)', (0.0, 1000.0), read_only=False),
            Parameter('loop', False, 'start again at the end'),
        ]
    )
    assert table.splitlines()[2:] == [
        "| `side` | string | `'right'` | one of right, left | which hand |",
        (
            '| `rate` | float | `50.0` | from 0 to 1000 | estimates per second (Hz); '
            'can be set at run time |'
        ),
        '| `loop` | bool | `false` | any | start again at the end |',
    ]


def test_a_choice_is_checked_at_the_start_and_whenever_it_is_set(ros, start):
    wrong = start('viewer', parameters={'side': 'both'})
    assert wrong.wait() == 1
    assert "side is 'both'; allowed are 'right', 'left'" in wrong.text
    start('decoder', parameters={'autostart': False})
    (descriptor,) = ros.describe_parameters('/decoder', ['when_stale'])
    assert descriptor.additional_constraints == 'one of stop, rest'
    answer = ros.set_parameter('/decoder', 'when_stale', 'panic')
    assert not answer.successful
    assert "when_stale is 'panic'; allowed are 'stop', 'rest'" in answer.reason
    assert ros.set_parameter('/decoder', 'when_stale', 'rest').successful
    assert ros.get_parameter('/decoder', 'when_stale') == 'rest'


def test_a_number_out_of_range_or_no_number_is_refused(ros, start):
    start('decoder', parameters={'autostart': False})
    for value in (-1.0, 1001.0, float('nan'), float('inf')):
        assert not ros.set_parameter('/decoder', 'output_rate', value).successful
    assert ros.get_parameter('/decoder', 'output_rate') == 50.0
