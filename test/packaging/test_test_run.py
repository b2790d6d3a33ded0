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

"""How the tests themselves are run."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_files_that_share_something_are_kept_in_one_process(pytestconfig: pytest.Config):
    conftest = pytestconfig.pluginmanager.get_plugin(str(ROOT / 'test' / 'conftest.py'))
    assert conftest.TOGETHER
    for file in conftest.TOGETHER:
        assert (ROOT / file).is_file()
        assert conftest.scope_of(f'{file}::test_a[1]') == conftest.scope_of(f'{file}::test_b')
    here = 'test/packaging/test_test_run.py'
    assert conftest.scope_of(f'{here}::test_a') != conftest.scope_of(f'{here}::test_b')
