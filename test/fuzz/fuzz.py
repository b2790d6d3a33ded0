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

"""Fuzz the inputs: `python test/fuzz/fuzz.py --target bags --cases 100000 --seed 1`.

Without --target all of them run in turn. Ends with a table, and with exit code 1 if there was a
finding. `--case N` runs one case in this process, to see where it fails.
"""

import argparse
import os
from pathlib import Path
import sys
from tempfile import TemporaryDirectory
import time

from fuzz_runner import Findings, make_target, run, run_case, TARGETS


def main() -> int:
    """Fuzz and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--target', choices=list(TARGETS), action='append')
    parser.add_argument('--cases', type=int, default=1000, help='of each target')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--case', type=int, help='run only this one, in this process')
    arguments = parser.parse_args()
    targets = arguments.target or list(TARGETS)
    if arguments.case is not None:
        with TemporaryDirectory() as folder:
            run_case(make_target(targets[0], Path(folder)), arguments.seed, arguments.case)
        return 0
    print(f'seed {arguments.seed}')
    print('target           cases  accepted   refused  findings  memory, time')
    found = 0
    for name in targets:
        started = time.monotonic()
        findings = run(name, cases=arguments.cases, seed=arguments.seed)
        _print(name, findings, time.monotonic() - started)
        found += len(findings.places)
    return 1 if found else 0


def _print(name: str, findings: Findings, seconds: float) -> None:
    wrong = findings.places.total()
    accepted = findings.cases - findings.refused - wrong
    print(
        f'{name:12} {findings.cases:9} {accepted:9} {findings.refused:9} {wrong:9}'
        f'  {findings.memory / 2**20:.0f} MB, {seconds:.0f} s',
        flush=True,
    )
    for place, count in findings.places.most_common():
        cases = ', '.join(str(case) for case, _ in findings.told[place])
        print(f'  {count} x {place}, cases {cases}')
        print('    ' + findings.told[place][0][1].strip().replace('\n', '\n    '), flush=True)


if __name__ == '__main__':
    for variable in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'):
        os.environ[variable] = '1'
    sys.exit(main())
