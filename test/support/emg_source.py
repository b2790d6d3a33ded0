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

"""A source of EMG in a process of its own, to be killed, slowed, doubled or cut off by tests.

`python test/support/emg_source.py FIRST LAST PAUSE` publishes samples FIRST to LAST - 1 on
/emg, in messages of CHUNK with PAUSE seconds between them, and ends when reliable readers have
them.

`python test/support/emg_source.py` publishes best effort until its standard input is closed,
and prints what it has sent and what the decoder has counted, as JSON.
"""

import json
import select
import sys
import time

from diagnostic_msgs.msg import DiagnosticArray
from emg_accounts import CHUNK, IMAGE, message_at, sample_of, totals_of
from leconvmn_ros.msg import EmgArray
from node_harness import LOSSLESS, peer
from rclpy.duration import Duration
from rclpy.qos import qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import JointState

PAUSE = 0.02  # s


def send(ros, first, last, pause):
    publisher = ros.publisher('/emg', EmgArray, LOSSLESS)
    print('sending', flush=True)
    for sample in range(first, last, CHUNK):
        publisher.publish(message_at(sample))
        time.sleep(pause)
    publisher.wait_for_all_acked(Duration(seconds=60))


def send_and_account(ros):
    states = ros.collect('/joint_states', JointState, qos_profile_sensor_data)
    reports = ros.collect('/diagnostics', DiagnosticArray, QoSProfile(depth=10))
    publisher = ros.publisher('/emg', EmgArray, qos_profile_sensor_data)
    sent, begin = 0, None
    while not select.select([sys.stdin], [], [], 0)[0]:
        publisher.publish(message_at(sent))
        sent += CHUNK
        ros.spin(PAUSE)
        if states and begin is None:
            # The first message that came through began the image that ends with this estimate.
            begin = sample_of(states[0].message) - IMAGE + 1
            print('sending', flush=True)

    def totals():
        return totals_of(reports[-1].message)

    ros.spin_until(lambda: totals()['samples'] + totals()['lost samples'] >= sent - begin, 10)
    print(json.dumps({'sent': sent - begin, **totals()}), flush=True)


if __name__ == '__main__':
    with peer() as made:
        if len(sys.argv) > 1:
            send(made, int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
        else:
            send_and_account(made)
