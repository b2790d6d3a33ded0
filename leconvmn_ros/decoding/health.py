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

"""The health of the decoder, once a second, as levels, words and numbers, without ROS."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import NamedTuple

from leconvmn_ros.core.percentiles import percentiles
from leconvmn_ros.core.status import Level, Status
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.decoding.signal_fit import SignalFit
from leconvmn_ros.emg.intake import NO_FAULTS
from leconvmn_ros.emg.signal_quality import Finding, SignalQuality
import numpy as np

# Stamps further from the clock than this belong to another clock (s).
SAME_CLOCK = 10.0
# Share of a second beyond which the decoder is overloaded.
BUSY = 0.9
# Share of angles at a limit beyond which the EMG is unlike that of the training.
AT_LIMITS = 0.25
# Start of the log line that reports faults.
FAULTS = 'faults since the last report: '
# Advice if the EMG does not fit the training.
WHAT_TO_DO = (
    'Electrodes may have moved or lost contact: put the band on again as it was, or make all '
    'the movements for a minute and a half and adapt (service ~/adapt, or leconvmn_ros adapt)'
)
# Parts that report counters of IntakeCounts; all others belong to the input.
_PARTS = {
    'failed_estimates': 'output',
    'withheld_estimates': 'output',
    'non_monotonic_stamps': 'output',
    'undelivered_estimates': 'output',
    'flat_channels': 'signal',
    'saturated_channels': 'signal',
    'humming_channels': 'signal',
}


class InputState(NamedTuple):
    """Facts about the input that only the node knows.

    Attributes:
        active: whether the decoder is active.
        silent_for: time since the last usable EMG (s), None if there was none.
        stale: whether the input is stale.
        interruptions: how often it became stale since activation.
        publishers: number of nodes that publish EMG on the topic.
        trouble: why a publisher cannot be received, in words; empty if all can.
        lost_messages: messages lost according to the middleware.
        missed_deadlines: number of missed deadlines, if a deadline is set.
    """

    active: bool
    silent_for: float | None = None
    stale: bool = False
    interruptions: int = 0
    publishers: int = 0
    trouble: str = ''
    lost_messages: int = 0
    missed_deadlines: int = 0


def in_words(faults: Mapping[str, int]) -> str:
    """Return counters as text, such as '3 lost samples, 1 restarts'."""
    return ', '.join(f'{count} {name.replace("_", " ")}' for name, count in faults.items())


class DecoderHealth:
    """Collects events since the last report, and reports."""

    def __init__(self, decoder: Decoder, model: str) -> None:
        """Prepare to report on a decoder; `model` is its name."""
        self._decoder = decoder
        self._model = model
        self._last = replace(decoder.counts)
        self._last_not_finite = decoder.not_finite_values.copy()
        self._last_angles = (decoder.angles, decoder.angles_at_a_limit)
        self._processing: list[float] = []
        self._ages: list[float] = []
        self._told_unfit = False

    def note(self, processing: float, ages: Sequence[float]) -> None:
        """Note a message.

        Args:
            processing: time from its arrival to the publication of its last estimate (s).
            ages: for each estimate, time from its stamp to its publication (s).
        """
        self._processing.append(processing)
        self._ages += ages

    def news(self) -> dict[str, int]:
        """Return the faults since the last report."""
        before = asdict(self._last)
        faults = self._decoder.counts.faults()
        return {name: n - before[name] for name, n in faults.items() if n > before[name]}

    def remarks(self) -> list[str]:
        """Return remarks on these faults, each a sentence."""
        news = self.news()
        remarks = [FAULTS + in_words(news)] if news else []
        if reason := self._decoder.contradiction or self._decoder.level_remark:
            remarks.append(reason)
        if not news.keys().isdisjoint({'wrong_channels', 'wrong_rate'}):
            remarks.append(
                f'this decoder takes {self._decoder.channels} channels at '
                f'{self._decoder.sampling_rate:g} Hz, other EMG is rejected'
            )
        if (unfit := fit_words(self._decoder.input_map.fit)) and not self._told_unfit:
            remarks.append(f'{unfit}. {WHAT_TO_DO}')
        self._told_unfit = bool(unfit)
        return remarks

    def report(self, state: InputState, period: float) -> list[Status]:
        """Report on the last `period` seconds, and start collecting again."""
        statuses = [self._input(state, period), self._output(period), self._signal(period)]
        self._last = replace(self._decoder.counts)
        self._last_not_finite = self._decoder.not_finite_values.copy()
        self._last_angles = (self._decoder.angles, self._decoder.angles_at_a_limit)
        self._processing, self._ages = [], []
        return statuses

    def _input(self, state: InputState, period: float) -> Status:
        counts, news = self._decoder.counts, self._news_of('input')
        if not state.active:
            level, summary = Level.OK, 'inactive'
        elif state.trouble:
            level, summary = Level.ERROR, state.trouble
        elif state.publishers > 1:
            level, summary = Level.ERROR, f'{state.publishers} publishers: their samples are mixed'
        elif state.silent_for is None:
            level, summary = Level.WARN, 'no EMG yet'
        elif contradiction := self._decoder.contradiction:
            level, summary = Level.ERROR, contradiction
        elif state.stale:
            level, summary = Level.ERROR, f'no EMG for {state.silent_for:.1f} s'
        else:
            level, summary = (Level.WARN, in_words(news)) if news else (Level.OK, 'fine')
        silent = 'no EMG yet' if state.silent_for is None else f'{state.silent_for:.3f}'
        values = {
            'rate (Hz)': f'{(counts.samples - self._last.samples) / period:.1f}',
            'expected rate (Hz)': f'{self._decoder.sampling_rate:g}',
            'messages per second': f'{(counts.messages - self._last.messages) / period:.1f}',
            'time since the last EMG (s)': silent,
            'messages, total': str(counts.messages),
            # Together with the lost samples below, all that the source has sent since its start.
            'samples, total': str(counts.samples),
            'times stale': str(state.interruptions),
            'publishers': str(state.publishers),
            'messages lost by the middleware': str(state.lost_messages),
            'missed deadlines': str(state.missed_deadlines),
        }
        return Status('input', level, summary, values | self._totals_of('input'))

    def _output(self, period: float) -> Status:
        news, rate = self._news_of('output'), len(self._ages) / period
        angles = self._decoder.angles - self._last_angles[0]
        at_limits = (self._decoder.angles_at_a_limit - self._last_angles[1]) / max(1, angles)
        if news:
            level, summary = Level.WARN, in_words(news)
        elif sum(self._processing) > BUSY * period:
            level, summary = Level.ERROR, 'the decoder does not keep up'
        elif at_limits > AT_LIMITS:
            level = Level.WARN
            summary = f'{at_limits:.0%} of all angles are at a limit of the training'
        else:
            level, summary = Level.OK, 'fine'
        values = {
            'rate (Hz)': f'{rate:.1f}',
            'expected rate (Hz)': f'{self._decoder.output_rate:g}',
            'angles at a limit': f'{at_limits:.0%}',
            'model': self._model,
            'device': self._decoder.device,
            'limited in speed': str(self._decoder.counts.limited_estimates),
            **_spread('processing of a message', self._processing),
            **self._latency(),
        }
        return Status('output', level, summary, values | self._totals_of('output'))

    def _latency(self) -> dict[str, str]:
        if self._ages and max(abs(age) for age in self._ages) > SAME_CLOCK:
            return {'latency': 'unknown: the EMG is stamped by another clock'}
        return _spread('latency from sample to estimate', self._ages)

    def _signal(self, period: float) -> Status:
        quality = self._decoder.quality
        not_finite = self._decoder.not_finite_values - self._last_not_finite
        shares = not_finite / (self._decoder.sampling_rate * period)
        words = [
            _channel(quality, channel, share) for channel, share in enumerate(shares.tolist())
        ]
        if quality.too_many_masked:
            level = Level.ERROR
            summary = f'{quality.masked.sum()} of {len(words)} channels masked: no estimates'
        elif remark := self._decoder.level_remark:
            level, summary = Level.WARN, remark
        elif bad := [str(channel) for channel, word in enumerate(words) if word != 'fine']:
            level, summary = Level.WARN, f'not fine: channel {", ".join(bad)}'
        elif unfit := fit_words(self._decoder.input_map.fit):
            level, summary = Level.WARN, unfit
        else:
            level, summary = Level.OK, 'fine'
        values = {f'channel {channel}': word for channel, word in enumerate(words)}
        values |= self._fit_and_drift()
        return Status('signal', level, summary, values | self._totals_of('signal'))

    def _fit_and_drift(self) -> dict[str, str]:
        """Return how well the signal fits the training, and the drift."""
        input_map = self._decoder.input_map
        fit, drift = input_map.fit, input_map.drift
        adapted = input_map.electrode_map is not None
        values = {'electrodes': 'adapted' if adapted else 'as in the training'}
        if not fit.known:
            return values | {'fit to the training': 'unknown: the checkpoint lacks statistics'}
        score = 'too little movement yet' if fit.score is None else f'{fit.score:.2f}'
        values |= {
            'fit to the training (nats)': score,
            'lowest usual fit (nats)': f'{fit.least:.2f}',
        }
        if drift is not None:
            shown = ', '.join(f'{offset:+.2f}' for offset in drift.offset)
            bound = ', '.join(map(str, np.flatnonzero(drift.at_bound)))
            values |= {
                'compensated drift (standard deviations)': shown,
                'drift at its bound': f'channel {bound}' if bound else 'none',
                'drift is followed': input_map.why_drift_is_frozen or 'yes',
            }
        return values

    def _news_of(self, part: str) -> dict[str, int]:
        return {n: count for n, count in self.news().items() if _PARTS.get(n, 'input') == part}

    def _totals_of(self, part: str) -> dict[str, str]:
        return {
            f'{name.replace("_", " ")}, total': str(count)
            for name, count in asdict(self._decoder.counts).items()
            if name not in NO_FAULTS and _PARTS.get(name, 'input') == part
        }


def fit_words(fit: SignalFit) -> str:
    """Return a message if the signal does not fit the training, '' if it does or is unknown."""
    if fit.fits is not False or fit.score is None or fit.least is None:
        return ''
    return (
        f'the EMG does not fit the training: {fit.score:.1f} nats per sample, usual is at least '
        f'{fit.least:.1f}'
    )


def _channel(quality: SignalQuality, channel: int, not_finite: float) -> str:
    words = [finding.name.lower() for finding in Finding if quality.findings[finding, channel]]
    if not_finite:
        words.append(f'{min(not_finite, 1):.0%} NaN or infinite, rejected')
    if quality.masked[channel]:
        words.append('masked')
    return ', '.join(words) or 'fine'


def _spread(name: str, seconds: Sequence[float]) -> dict[str, str]:
    found = percentiles(seconds)
    if found is None:
        return {}
    return {f'{name}, {key} (ms)': f'{1e3 * found[key]:.2f}' for key in ('median', 'p99')}
