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

"""Bags of several sessions: who and which it is, and what cannot be grouped."""

from benchmark_builders import make_bag
from leconvmn_ros.benchmark.sessions import check_enough, people_of
from leconvmn_ros.core.errors import ConfigurationError
import pytest


def names(people):
    return {person.name: [each.name for each in person.sessions] for person in people}


def test_a_bag_says_who_and_which_session_it_is(tmp_path):
    told = [('b', 'S1', '10'), ('a', 'S2', '1'), ('c', 'S1', '9')]
    bags = [
        make_bag(tmp_path, name, seed=seed, database='D', subject=subject, donning=donning)
        for seed, (name, subject, donning) in enumerate(told)
    ]
    people = people_of(bags)
    # Numbers count as numbers: 9 comes before 10.
    assert names(people) == {'S1': ['9', '10'], 'S2': ['1']}
    assert {person.database for person in people} == {'D'}


def test_what_a_bag_does_not_say_is_taken_from_its_place(tmp_path):
    bags = [
        make_bag(tmp_path / person, session, seed=seed, subject='unknown')
        for seed, (person, session) in enumerate(
            [('anna', 'tuesday'), ('anna', 'monday'), ('ben', 'monday')]
        )
    ]
    (file,) = bags[2].glob('*.mcap')
    assert names(people_of([*bags[:2], file])) == {
        'anna': ['monday', 'tuesday'],
        'ben': ['monday'],
    }


def test_people_of_two_databases_stay_apart_whatever_they_are_called(tmp_path):
    people = people_of(
        [
            make_bag(tmp_path, name, seed=seed, database=name, subject='../../etc')
            for seed, name in enumerate(['one', 'two'])
        ]
    )
    assert [person.name for person in people] == ['../../etc', '../../etc']
    assert len({person.slug for person in people}) == 2
    assert all('/' not in person.slug and '.' not in person.slug for person in people)


def test_bags_that_are_not_grouped_stand_for_themselves(tmp_path):
    bags = [make_bag(tmp_path, name, seed=n, subject='S1') for n, name in enumerate('ab')]
    assert [person.name for person in people_of(bags, grouped=False)] == ['a', 'b']


def test_two_bags_of_one_session_are_refused(tmp_path):
    bags = [
        make_bag(tmp_path, name, seed=n, subject='S1', donning='day 1')
        for n, name in enumerate('ab')
    ]
    with pytest.raises(ConfigurationError, match=r"a and .*b are both session 'day 1' of 'S1'"):
        people_of(bags)


def test_the_same_bag_twice_is_refused(tmp_path):
    bag = make_bag(tmp_path, 'a')
    with pytest.raises(ConfigurationError, match='are the same bag'):
        people_of([bag, bag])


def test_people_without_later_sessions_are_refused(tmp_path):
    bags = [
        make_bag(tmp_path, name, seed=n, subject='S1', donning=name) for n, name in enumerate('ab')
    ]
    people = people_of(bags)
    check_enough(people, 1)
    with pytest.raises(ConfigurationError, match=r'S1 has 2 session\(s\) \(a, b\); .* 3 or more'):
        check_enough(people, 2)
