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

"""Runs one source: opens it, reads it, detects silence, opens it again."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from threading import Event
import time
from typing import TypeVar

from leconvmn_ros.core.errors import LeconvmnError, SourceError
from leconvmn_ros.core.recording import EmgChunk
from leconvmn_ros.core.status import Level, Status
from leconvmn_ros.emg.description import EmgDescription
from leconvmn_ros.sources.contract import EmgSource, SourceDescription
from leconvmn_ros.sources.settings import choose_columns, choose_volts, describe, SignalSettings
from leconvmn_ros.sources.stream import EmgStream

# Longest time that a sample waits to be read (s).
POLL_PERIOD = 0.009
# Interval of attempts to open a missing device (s), and of reminders in the log.
RETRY_PERIOD = 2.0
REMIND_PERIOD = 30.0
# After silence this long the device is reopened (s), as its dongle may be a new device by now.
REOPEN_AFTER = 3.0
# Earliest time to judge the measured rate (s); a larger error is a wrong claim.
RATE_TIME, RATE_ERROR = 10.0, 0.02


Result = TypeVar('Result')


class Phase(Enum):
    """The state of a session."""

    OPENING = 'opening'
    ABSENT = 'not there'
    STREAMING = 'streaming'
    SILENT = 'silent'
    ENDED = 'ended'


@dataclass
class Listener:
    """Callbacks of a session, all called from its thread.

    Attributes:
        opened: a device was opened, and has this description.
        chunk: a chunk of EMG has come.
        changed: the phase changed; see `SourceSession.status`.
        say: report a line to the user; the level is its severity.
    """

    opened: Callable[[EmgDescription], None]
    chunk: Callable[[EmgChunk], None]
    changed: Callable[[], None]
    say: Callable[[Level, str], None]


class SourceSession:
    """Runs a source until it is stopped, through all failures of the device.

    Attributes:
        phase: its state.
    """

    def __init__(
        self, kind: str, source: EmgSource, settings: SignalSettings, listener: Listener
    ) -> None:
        """Prepare; nothing is opened before `run`.

        Args:
            kind: name of the source.
            source: the source.
            settings: settings of the signal.
            listener: receiver of chunks and messages.
        """
        self.phase = Phase.OPENING
        self._kind = kind
        self._source = source
        self._settings = settings
        self._listener = listener
        self._stream: EmgStream | None = None
        self._described: EmgDescription | None = None
        self._heard = self._began = self._opened_at = time.monotonic()
        self._problem = ''
        self._told_at = -REMIND_PERIOD
        self._told_rate = False
        self._told_interruptions = 0
        self._samples_before = 0

    def run(self, stopping: Event) -> None:
        """Read until `stopping` is set, or the source has ended.

        Raises:
            ConfigurationError: the source can never work with its options.
        """
        try:
            while not stopping.is_set():
                if not self._open():
                    stopping.wait(RETRY_PERIOD)
                    continue
                failed = self._read(stopping)
                self._close()
                if failed:
                    stopping.wait(RETRY_PERIOD)
                if self._source.ended:
                    self._enter(Phase.ENDED)
                    self._listener.say(Level.OK, f'{self._device} has ended')
                    return
        finally:
            self._close()

    def status(self) -> Status:
        """Return the status of the source, for /diagnostics."""
        counts = self._stream.counts if self._stream else None
        faults = counts.faults() if counts else {}
        silent_for = time.monotonic() - self._heard
        if self.phase is Phase.SILENT:
            level, summary = Level.ERROR, f'no samples for {silent_for:.1f} s'
        elif self.phase is Phase.ABSENT:
            level, summary = Level.ERROR, self._problem
        elif self.phase is Phase.STREAMING and not self._told_rate:
            level, summary = Level.OK, 'streaming'
        else:
            level, summary = Level.WARN, self._problem or self.phase.value
        values = {'source': self._kind, 'device': self._device, 'phase': self.phase.value}
        if self._stream and counts:
            values |= {
                'claimed rate (Hz)': f'{self._stream.clock.claimed_rate:g}',
                'fitted rate (Hz)': f'{self._stream.clock.rate:.3f}',
                'time since the last samples (s)': f'{silent_for:.3f}',
                'samples, total': str(counts.samples),
                **{f'{name.replace("_", " ")}, total': str(n) for name, n in faults.items()},
            }
        return Status('source', level, summary, values)

    @property
    def _device(self) -> str:
        return self._described.device if self._described else self._kind

    def _open(self) -> bool:
        """Open the source; return whether it is open."""
        try:
            source = _guarded(self._source.open)
        except SourceError as error:
            self._close()
            self._problem = str(error)
            self._enter(Phase.ABSENT)
            self._remind(f'{error}. It is tried again every {RETRY_PERIOD:g} s')
            return False
        self._begin(source)
        return True

    def _close(self) -> None:
        try:
            _guarded(self._source.close)
        except SourceError as error:
            self._listener.say(Level.WARN, f'{self._device} cannot be closed: {error}')

    def _begin(self, source: SourceDescription) -> None:
        settings = self._settings
        if settings.sampling_rate:
            source = source._replace(sampling_rate=settings.sampling_rate)
        described = describe(self._kind, source, settings)
        now = time.time()
        if self._stream is None or described != self._described:
            self._stream = EmgStream(
                source,
                choose_volts(source, settings),
                choose_columns(source, settings),
                delay=settings.delay,
                silence=settings.silence,
            )
            self._described = described
            self._heard, self._told_interruptions = time.monotonic(), 0
            self._listener.opened(described)
            self._listener.say(
                Level.OK,
                f'{described.device}: {len(described.channels)} channels at '
                f'{described.sampling_rate:g} Hz',
            )
        else:
            self._stream.reopened(now)
        self._opened_at = time.monotonic()
        if self.phase is not Phase.SILENT:
            self._enter(Phase.OPENING)

    def _read(self, stopping: Event) -> bool:
        """Read until the device must be reopened; return whether reading failed."""
        assert self._stream is not None  # noqa: S101 - set by _begin
        while not stopping.wait(POLL_PERIOD):
            try:
                reading = _guarded(self._source.read)
            except SourceError as error:
                self._problem = str(error)
                self._enter(Phase.ABSENT)
                self._remind(str(error))
                return True
            for text in self._source.remarks:
                self._listener.say(Level.WARN, text)
            self._source.remarks.clear()
            chunks = self._stream.take(reading, time.time())
            now = time.monotonic()
            for chunk in chunks:
                self._listener.chunk(chunk)
            if chunks:
                self._came_back(now)
            elif self._source.ended or self._is_over(now):
                break
        return False

    def _is_over(self, now: float) -> bool:
        """Detect silence; return whether the device must be reopened."""
        silent_for = now - max(self._heard, self._opened_at)
        if silent_for > self._settings.silence and self.phase is not Phase.SILENT:
            self._problem = f'{self._device} sends nothing'
            self._enter(Phase.SILENT)
            self._remind(
                f'{self._device} has sent nothing for {silent_for:.1f} s: look at cable, '
                f'battery and distance. It is opened again every {REOPEN_AFTER:g} s'
            )
        return silent_for > REOPEN_AFTER

    def _came_back(self, now: float) -> None:
        assert self._stream is not None  # noqa: S101
        silent_for, self._heard = now - self._heard, now
        if self.phase is not Phase.STREAMING:
            if self._stream.counts.interruptions > self._told_interruptions:
                self._told_interruptions = self._stream.counts.interruptions
                dropped = self._stream.counts.backlog_samples
                self._listener.say(
                    Level.WARN,
                    f'{self._device} is back after {silent_for:.1f} s; backlog dropped so far: '
                    f'{dropped} samples',
                )
            self._began, self._samples_before = now, self._stream.counts.samples
            self._problem, self._told_at = '', -REMIND_PERIOD
            self._enter(Phase.STREAMING)
        elif not self._told_rate and now - self._began > RATE_TIME:
            self._check_rate(now)

    def _check_rate(self, now: float) -> None:
        """Report a device whose rate differs from its claim."""
        assert self._stream is not None  # noqa: S101
        claimed = self._stream.clock.claimed_rate
        measured = (self._stream.counts.samples - self._samples_before) / (now - self._began)
        if abs(measured / claimed - 1) > RATE_ERROR:
            self._problem = f'claims {claimed:g} Hz, but {measured:.1f} samples a second come'
            self._told_rate = True
            self._listener.say(
                Level.WARN,
                f'{self._device} {self._problem}: samples are lost, or its rate is another one '
                '(parameter sampling_rate)',
            )

    def _remind(self, text: str) -> None:
        now = time.monotonic()
        if now - self._told_at >= REMIND_PERIOD:
            self._told_at = now
            self._listener.say(Level.ERROR, text)

    def _enter(self, phase: Phase) -> None:
        if phase is not self.phase:
            self.phase = phase
            self._listener.changed()


def _guarded(method: Callable[[], Result]) -> Result:
    """Call a method of a source, which may be foreign code or a C library.

    Raises:
        SourceError: for any failure, except errors of this package.
    """
    try:
        return method()
    except LeconvmnError:
        raise
    except Exception as error:
        text = ' '.join(str(error).split())
        raise SourceError(f'{type(error).__name__}: {text}') from error
