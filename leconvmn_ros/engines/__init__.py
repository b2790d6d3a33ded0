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

"""Ways to run a model image by image, on a CPU or a GPU.

ONNX Runtime 1.32 sends usage reports to its maker: it resolves a host name, and keeps a database
of events and a device id below the user's cache folder. Only an environment variable set before
its import prevents that, so it is set here, overriding any earlier value. Only modules of this
room import ONNX Runtime (see test_telemetry). Child processes inherit the variable.
"""

import os

os.environ['ORT_DISABLE_TELEMETRY'] = '1'
