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

"""An LSL outlet in a process of its own, and the settings that keep LSL on this machine.

`python lsl_outlet.py '{"rate": 250, ...}'` streams until it is ended; see `DEFAULTS`.
"""

from contextlib import contextmanager
import json
import os
from pathlib import Path
import subprocess
import sys
import time

import numpy as np

DEFAULTS = {
    'name': 'test band',
    'source_id': 'band-1',
    'type': 'EMG',
    'channels': 4,
    'rate': 250.0,
    'true_rate': 250.0,
    'unit': 'microvolts',
    'types': None,
    'chunk': 5,
    'format': 'float32',
    'stamps': 'lsl',
    'first': 0,
    'file': None,
}

CONFIGURATION = """
[ports]
IPv6 = disable
[multicast]
ResolveScope = machine
AddressesOverride = {{127.0.0.1}}
[lab]
KnownPeers = {{127.0.0.1}}
SessionID = {session}
[log]
level = -3
"""


def stay_on_this_machine(folder: Path) -> None:
    """Make LSL in this process and its children see only the streams of this test."""
    file = folder / 'lsl_api.cfg'
    file.write_text(CONFIGURATION.format(session=f'leconvmn-test-{os.getpid()}'))
    os.environ['LSLAPICFG'] = str(file)


@contextmanager
def outlet(**settings):
    """Run an outlet; yields its process once it streams."""
    process = subprocess.Popen(
        [sys.executable, __file__, json.dumps(settings)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == 'streaming\n'
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def stream(settings):
    import pylsl

    # A recording to stream instead of numbers (the device's unit), shape (samples, channels).
    recorded = None if settings['file'] is None else np.load(settings['file'])
    channels = settings['channels'] if recorded is None else recorded.shape[1]
    names = settings['types'] or ['EMG'] * channels
    count = len(names)
    info = pylsl.StreamInfo(
        settings['name'],
        settings['type'],
        count,
        settings['rate'],
        settings['format'],
        settings['source_id'],
    )
    channels = info.desc().append_child('channels')
    for place, kind in enumerate(names):
        channel = channels.append_child('channel')
        channel.append_child_value('label', f'E{place}')
        channel.append_child_value('type', kind)
        if settings['unit']:
            channel.append_child_value('unit', settings['unit'])
    made = pylsl.StreamOutlet(info, settings['chunk'])
    print('streaming', flush=True)
    start, sent = pylsl.local_clock(), settings['first']
    offset = 0.0 if settings['stamps'] == 'lsl' else 1e6
    while True:
        due = settings['first'] + int((pylsl.local_clock() - start) * settings['true_rate'])
        while sent + settings['chunk'] <= due:
            rows = range(sent, sent + settings['chunk'])
            if recorded is None:
                # Channel 0 counts, the others hold their own number.
                values = [[float(row), *map(float, range(1, count))] for row in rows]
            else:
                values = recorded[np.array(rows) % len(recorded)].tolist()
            last = (sent + settings['chunk'] - 1 - settings['first']) / settings['true_rate']
            made.push_chunk(values, start + last + offset)
            sent += settings['chunk']
        time.sleep(0.002)


if __name__ == '__main__':
    stream(DEFAULTS | json.loads(sys.argv[1]))
