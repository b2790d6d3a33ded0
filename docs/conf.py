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
"""Sphinx configuration; `make docs` builds the pages, and a warning is an error."""

from pathlib import Path
import sys

import tomllib

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / '_ext'), str(HERE.parent)]

project = 'leconvmn_ros'
author = copyright = 'The leconvmn_ros authors'  # noqa: A001 - Sphinx reads this name
release = version = tomllib.loads((HERE.parent / 'pyproject.toml').read_text())['project'][
    'version'
]

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx_copybutton',
    'generated_reference',
]
myst_enable_extensions = ['colon_fence', 'deflist', 'dollarmath', 'fieldlist']
myst_heading_anchors = 3
smartquotes = False  # options begin with --
exclude_patterns = ['_build', '_ext']

autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'
# Built without a GPU, a graph or an optional library: the modules themselves import them late.
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = 'furo'
html_title = f'leconvmn_ros {version}'
html_static_path: list[str] = []
html_theme_options = {'navigation_with_keys': True}
# Pages load nothing from elsewhere.
html_show_sphinx = False
