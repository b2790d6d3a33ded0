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

"""Who chose something is not who is reported: not by person, name or EMG."""

from dataclasses import replace

from benchmark_builders import made_up_bag, make_bag, make_output, make_plan, QUICK
from cli_harness import run
from leconvmn_ros.benchmark.people import check_apart
from leconvmn_ros.benchmark.plan import Topics
from leconvmn_ros.benchmark.summary import summarise
from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.recordings.bags import read_bag, write_bag
from pydantic import ValidationError
import pytest
from small_recordings import sampled_subject


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    """Return a folder with bags of three people, and a second one of the first."""
    folder = tmp_path_factory.mktemp('people')
    for number in (1, 2, 3):
        make_bag(folder, f'S{number}', seed=number, database='a database', subject=str(number))
    make_bag(folder, 'S1_again', seed=9, database='a database', subject='1')
    # The EMG of the second one, a second later and with nothing said of it.
    subject = sampled_subject(12, rate=100.0, seed=2)
    parts = {
        name: getattr(subject, name)[100:]
        for name in ('emg', 'positions', 'movement', 'repetition')
    }
    write_bag(replace(subject, name='copy', information={}, **parts), folder / 'copy')
    return folder


def test_different_people_are_fine(bags):
    check_apart([bags / 'S1', bags / 'S2'], [bags / 'S3'], Topics())


def test_one_person_in_both_is_refused_by_what_the_bags_say(bags):
    with pytest.raises(ConfigurationError, match=r'S1_again is of the same person as .*S1 \(a da'):
        check_apart([bags / 'S1'], [bags / 'S3', bags / 'S1_again'], Topics())


def test_the_same_emg_in_both_is_refused_whatever_it_is_called(bags):
    assert read_bag(bags / 'copy').information.get('subject') is None
    with pytest.raises(ConfigurationError, match=r'copy holds the same EMG as .*S2'):
        check_apart([bags / 'S2'], [bags / 'copy'], Topics())


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--development', 'S1'], '--development needs --report'),
        (['S1', '--report', 'S2'], 'a BAG must be one of --development or of --report'),
        (['--report', 'S3', '--development', 'S1', '--report-only'], '--report-only takes no BAG'),
        (['--report', 'S1_again', '--development', 'S1'], 'is of the same person as'),
        (['--report', 'S1', '--development', 'S1'], 'is of the same person as'),
    ],
)
def test_the_command_refuses_to_mix_them(capsys, bags, tmp_path, arguments, message):
    named = [bags / a if (bags / a).exists() else a for a in arguments]
    code, _, error = run(capsys, 'benchmark', *named, '--output', tmp_path / 'new' / 'o')
    assert (code, message in error) == (1, True), error
    assert not (tmp_path / 'new').exists()


def test_scores_of_both_stand_apart():
    names = ('S1', 'S2', 'S3')
    plan = make_plan(
        [made_up_bag(name) for name in names], presets={'ours': QUICK}, development=('S3',)
    )
    results = [make_output(job, database='D').result for job in plan.jobs()]
    reported, chosen_on = summarise(plan, results).groups
    assert reported.title == 'D, people who chose nothing'
    assert set(reported.models['ours'].subjects) == {'S1', 'S2'}
    assert chosen_on.title.startswith('D, development people')
    assert set(chosen_on.models['ours'].subjects) == {'S3'}


def test_development_bags_are_among_those_of_the_plan():
    with pytest.raises(ValidationError, match='development bags S9 are not bags of the plan'):
        make_plan([made_up_bag('S1')], presets={'ours': QUICK}, development=('S9',))
