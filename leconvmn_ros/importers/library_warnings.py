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

"""Collects the warnings of a foreign library instead of letting it print them."""

from collections.abc import Iterator
from contextlib import contextmanager
import logging
import warnings

# Parts of the messages that pyxdf writes for healthy files.
_USUAL = ('Segments and clock-segments differ',)


class _Collector(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())


@contextmanager
def collected_warnings(logger_name: str) -> Iterator[list[str]]:
    """Collect the warnings and log messages of a library.

    Args:
        logger_name: name of the library's logger.

    Yields:
        A list that holds each message once, as one line, when the context is left.
    """
    logger = logging.getLogger(logger_name)
    lines: list[str] = []
    found: list[str] = []
    collector = _Collector(lines)
    passes_on = logger.propagate
    logger.addHandler(collector)
    logger.propagate = False
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            yield found
    finally:
        logger.removeHandler(collector)
        logger.propagate = passes_on
        lines += [str(warning.message) for warning in caught]
        kept = [' '.join(line.split()) for line in lines if not any(p in line for p in _USUAL)]
        found += dict.fromkeys(kept)
