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

"""Progress bars."""

from leconvmn_ros.commands import progress
from leconvmn_ros.commands.progress import progress_bar, say_duration
import pytest


def test_bars_go_to_stderr_and_brackets_stay(capsys):
    with progress_bar('convert S1[/x].mat') as show:
        show(0.25, 'epoch [1] of [/4]')
    output = capsys.readouterr()
    assert output.out == ''
    assert 'convert S1[/x].mat' in output.err
    assert '100 %' in output.err


def test_a_failure_does_not_look_done(capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '120')

    def fail():
        with progress_bar('work') as show:
            show(0.25)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert '25 %' in capsys.readouterr().err
    assert progress.CONSOLE.stderr


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [(0.01, '1 s'), (1.4, '1 s'), (75, '75 s'), (100, '2 min'), (3610, '60 min')],
)
def test_duration_is_said_on_stderr(capsys, seconds, text):
    say_duration(seconds)
    output = capsys.readouterr()
    assert output.out == ''
    assert output.err == f'this will take about {text}\n'
