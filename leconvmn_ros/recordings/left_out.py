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

"""Counts the unusable messages of a bag by reason, for reports."""

from collections import Counter

MOST_REASONS = 8


class LeftOut:
    """Messages of one topic that were left out.

    Attributes:
        messages: number of messages on the topic so far.
        reasons: number of messages left out, by reason.
        notes: further remarks, each a sentence.
    """

    def __init__(self) -> None:
        """Start without messages."""
        self.messages = 0
        self.reasons: Counter[str] = Counter()
        self.notes: list[str] = []

    @property
    def count(self) -> int:
        """Number of messages left out."""
        return self.reasons.total()

    def add(self, reason: str, count: int = 1) -> None:
        """Count messages as left out."""
        if reason not in self.reasons and len(self.reasons) >= MOST_REASONS:
            reason = 'other reasons'
        self.reasons[reason] += count

    def note(self, text: str) -> None:
        """Add a remark that does not concern single messages."""
        self.notes.append(text)

    def remarks(self, topic: str) -> tuple[str, ...]:
        """Return a sentence for each reason, the most frequent first, and the notes."""
        counted = tuple(
            f'{topic}: {count} of {self.messages} messages left out: {reason}'
            for reason, count in self.reasons.most_common()
            if count
        )
        return counted + tuple(f'{topic}: {text}' for text in self.notes)
