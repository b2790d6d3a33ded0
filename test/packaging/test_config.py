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

"""Defaults that stand in files which cannot import them: they are those of the code."""

from pathlib import Path
import re

from leconvmn_ros.decoding.decoder import DEFAULT_OUTPUT_RATE
from leconvmn_ros.nodes.decoder_parameters import PARAMETERS
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]


def test_the_decoder_by_launch_has_the_defaults_of_the_decoder():
    text = (ROOT / 'config' / 'decoder.yaml').read_text(encoding='utf-8')
    written = YAML(typ='safe').load(text)['/**']['ros__parameters']
    declared = {parameter.name: parameter.default for parameter in PARAMETERS}
    assert written == {name: declared[name] for name in written}
    assert len(written) >= 6


def test_the_launch_file_asks_for_the_usual_rate():
    text = (ROOT / 'launch' / 'decoder.launch.py').read_text(encoding='utf-8')
    (rate,) = re.findall(r"'output_rate',\s+default_value='([\d.]+)'", text)
    assert float(rate) == DEFAULT_OUTPUT_RATE
