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

"""Runs `leconvmn_ros synthesize`; its arguments are in parsers/synthesize.py."""

import argparse

from leconvmn_ros.commands.arguments import checked
from leconvmn_ros.commands.parsers.synthesize import OPTIONS
from leconvmn_ros.commands.progress import progress_bar, say
from leconvmn_ros.recordings.bags import write_bag
from leconvmn_ros.synthetic.config import SyntheticSubjectConfig
from leconvmn_ros.synthetic.subject import synthesize


def run(arguments: argparse.Namespace) -> int:
    """Generate the subject and write its bag."""
    config: SyntheticSubjectConfig = checked(
        SyntheticSubjectConfig, {name: getattr(arguments, name) for name in OPTIONS}
    )
    with progress_bar('synthesize') as progress:
        subject = synthesize(config, progress=lambda done, total: progress(done / total))
    with progress_bar(f'write {arguments.output}') as progress:
        write_bag(
            subject,
            arguments.output,
            chunk_duration=arguments.chunk,
            overwrite=arguments.overwrite,
            progress=progress,
        )
    say(
        f'{arguments.output}: {config.channels} channels at {config.sampling_rate:g} Hz, '
        f'{config.duration:.0f} s'
    )
    return 0
