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

"""The available sources, and sources of other packages."""

import sys

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.sources.contract import EmgSource
from leconvmn_ros.sources.registry import load_source, make_source, source_names
import pytest

MODULE = '''
from leconvmn_ros.sources.contract import EmgSource, Reading, SourceDescription, SourceOptions
import numpy as np

class Options(SourceOptions):
    port: str = '/dev/ttyUSB0'
    rate: float = 500.0

class MySource(EmgSource):
    """My armband over a serial port."""

    Options = Options

    def open(self):
        return SourceDescription('my armband', ('1', '2'), self.options.rate, 'uV')

    def read(self):
        return Reading(np.zeros((1, 2)), np.zeros(1))

    def close(self):
        pass

class Impostor:
    pass
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed foreign package with a source."""
    (tmp_path / 'my_armband_package.py').write_text(MODULE)
    metadata = tmp_path / 'my_armband_package-1.0.dist-info'
    metadata.mkdir()
    (metadata / 'METADATA').write_text('Metadata-Version: 2.1\nName: my-armband-package\n')
    (metadata / 'entry_points.txt').write_text(
        '[leconvmn_ros.sources]\n'
        'my_armband = my_armband_package:MySource\n'
        'impostor = my_armband_package:Impostor\n'
        'broken = no_such_module:Source\n'
        'lsl = my_armband_package:Impostor\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop('my_armband_package', None)


@pytest.mark.usefixtures('package')
def test_a_stranger_adds_a_source_with_an_entry_point():
    assert {'my_armband', 'lsl', 'brainflow'} <= set(source_names())
    source = make_source('my_armband', 'port=/dev/ttyS1 rate=250')
    assert source.options.port == '/dev/ttyS1'
    assert source.open().sampling_rate == 250.0
    assert source.read().samples.shape == (1, 2)


@pytest.mark.usefixtures('package')
@pytest.mark.parametrize(
    ('name', 'complaint'),
    [('impostor', 'a subclass of'), ('broken', "No module named 'no_such_module'")],
)
def test_what_is_no_source_is_refused(name, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        make_source(name)


@pytest.mark.usefixtures('package')
def test_our_sources_cannot_be_replaced():
    assert load_source('lsl').__module__ == 'leconvmn_ros.sources.lsl_stream'
    assert source_names().count('lsl') == 1


def test_an_unknown_source_names_those_that_there_are():
    with pytest.raises(ConfigurationError, match=r"no source 'emg'; there are lsl, brainflow"):
        make_source('emg')


@pytest.mark.parametrize('name', ['lsl', 'brainflow', 'mindrove', 'myo', 'bag', 'synthetic'])
def test_our_sources_can_be_made_without_a_device_or_a_library(name):
    kind = load_source(name)
    assert issubclass(kind, EmgSource)
    assert kind.__doc__
    assert isinstance(make_source(name), kind)


@pytest.mark.parametrize(
    ('options', 'complaint'),
    [
        ('rate=fast', 'rate: .*number.*fast'),
        ('rate=-1', 'rate: .*greater than or equal to 0'),
        ('colour=red', 'colour: .*there are: name, type, source_id, rate'),
        ('=x', 'not of the form name=value'),
    ],
)
def test_a_wrong_option_names_the_right_ones(options, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        make_source('lsl', options)
