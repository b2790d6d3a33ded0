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

ONNX Runtime 1.32 reports its use to its maker: it looks up a host, and keeps a database of events
and a device id below the user's cache folder. Only an environment variable that is set before the
import stops that, so it is set here, whatever it was before: modules of this room are the only
ones that import ONNX Runtime (test_telemetry). Processes started from here inherit it.
"""

import os

os.environ['ORT_DISABLE_TELEMETRY'] = '1'
