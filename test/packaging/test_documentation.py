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
"""What README and docs tell a reader to type works: it is parsed here, and run by CI."""

import os
from pathlib import Path
import re
import shlex
import shutil
import subprocess
import sys

from leconvmn_ros.cli import build_parser, COMMANDS, main
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]
# 'sh' blocks are run, 'text' blocks need what a test has not: a device, a ROS installation.
BLOCK = re.compile(r'^```(sh|text)\n(.*?)^```', re.MULTILINE | re.DOTALL)
# Set-up that CI does by other means.
NOT_RUN = ('make ', '. .venv', 'git clone')


def lines_of(page, *kinds):
    text = page.read_text(encoding='utf-8')
    found = [m[2] for m in BLOCK.finditer(text) if m[1] in kinds]
    return [line for block in found for line in block.replace('\\\n', ' ').splitlines() if line]


def commands_of(page):
    for line in lines_of(page, 'sh', 'text'):
        if not line.startswith('leconvmn_ros '):
            continue
        words = shlex.split(line, comments=True)
        if words[1:] and not words[1].startswith('-'):
            yield words[1:]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_every_command_that_a_page_names_has_these_arguments(page):
    for words in commands_of(page):
        if '--help' not in words:
            build_parser(words[0]).parse_args(words)


def test_the_pages_show_the_commands_that_readers_need_first():
    named = {words[0] for page in PAGES for words in commands_of(page)}
    assert {'train', 'evaluate', 'convert', 'benchmark', 'wear'} & set(COMMANDS) <= named


@pytest.fixture(scope='session')
def reader(tmp_path_factory):
    """Folder with the recordings and the decoder that the pages take for granted."""
    folder = tmp_path_factory.mktemp('reader')
    size = ('--movements', '3', '--channels', '4', '--sampling-rate', '100')
    for bag in ('session1', 'monday', 'tuesday', 'bags/subject1'):
        seed = str(len(bag))
        assert main(['synthesize', '--output', str(folder / bag), *size, '--seed', seed]) == 0
    shutil.copytree(ROOT / 'leconvmn_ros' / 'demo_checkpoint', folder / 'my_decoder')
    return folder


@pytest.mark.docs
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    'page', [page for page in PAGES if lines_of(page, 'sh')], ids=lambda page: page.stem
)
def test_what_a_page_tells_to_type_runs(page, reader, request, tmp_path):
    lines = [line for line in lines_of(page, 'sh') if not line.startswith(NOT_RUN)]
    if any('.mat' in line for line in lines):
        ninapro = request.getfixturevalue('ninapro')
        shutil.copy(ninapro / 'DB5' / 'S1_E1_A1.mat', tmp_path)
    shutil.copytree(reader, tmp_path, dirs_exist_ok=True)
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    done = subprocess.run(
        ['bash', '-e', '-c', '\n'.join(lines)],
        cwd=tmp_path,
        env={**os.environ, 'PATH': path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
