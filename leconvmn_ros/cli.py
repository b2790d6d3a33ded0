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

"""The command line `leconvmn_ros`."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
import os
import signal
import sys
from threading import current_thread, main_thread
from typing import NoReturn

from leconvmn_ros.core.errors import LeconvmnError, OutputError, printable

# Exit codes: done, failed for a stated reason, wrong usage (argparse), ended by Ctrl-C or SIGTERM
# (as in shells).
EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TERMINATED = 0, 1, 130, 143

COMMANDS = {
    'wear': 'from a bare arm to a moving hand: record, train and decode in one sitting',
    'demo': 'replay, decode and evaluate a subject over ROS 2',
    'sources': 'list the sources of EMG: what is installed and what is found',
    'record': 'record topics to a bag, or recover the bag of a killed recorder',
    'convert': 'turn recordings of other formats (Ninapro, CSV, XDF, EDF, ...) into bags',
    'synthesize': 'make the bag of a synthetic subject',
    'align': 'measure the lag between the reference angles and the EMG of a bag',
    'train': 'train a decoder on bags',
    'adapt': 'adapt a decoder to electrodes that moved',
    'evaluate': 'decode bags without ROS and score what training held out',
    'speed': 'time every stage of the decoder and the whole path over ROS 2',
    'export': 'write a decoder as ONNX',
    'benchmark': 'compare models over subjects, with a report',
    'urdf': 'write the human hand as URDF',
    'hand': 'list, show, check or fit profiles of robot hands',
}
# Names of version 0.1.0 that still work.
OLD_NAMES = {'bench': 'speed'}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in OLD_NAMES:
        words[0] = OLD_NAMES[words[0]]
    command = next((word for word in words if word in COMMANDS), '')
    try:
        with _sigterm_unwinds():
            # A benchmark records the command that made it.
            parsed = build_parser(command).parse_args(words, argparse.Namespace(words=words))
            code = int(import_module(f'leconvmn_ros.commands.{command}').run(parsed))
        _flush()
    except LeconvmnError as error:
        _complain(command, str(error))
        return EXIT_FAILED
    except OSError as error:
        # Code that opens files explains its own errors. What remains is output to the terminal,
        # a pipe or a redirected file.
        _complain(command, _explained(error))
        return EXIT_FAILED
    except KeyboardInterrupt as interrupt:
        _complain(command, 'stopped')
        return EXIT_TERMINATED if isinstance(interrupt, _TerminatedError) else EXIT_INTERRUPTED
    else:
        return code


def _flush() -> None:
    """Flush standard output while a failure can still be reported.

    Raises:
        OutputError: standard output is full or closed.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        raise OutputError(_explained(error)) from error


def _explained(error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.filename is not None:
        return printable(f'{error.filename}: {reason}')
    if isinstance(error, BrokenPipeError):
        return 'the program that reads the output has closed it'
    return f'cannot write to standard output: {reason}; redirect it to a place with room'


def _complain(command: str, reason: str) -> None:
    """Write a line to standard error if possible, and leave Python nothing to flush."""
    with suppress(OSError, ValueError):
        print(f'{f"leconvmn_ros {command}".strip()}: {reason}', file=sys.stderr, flush=True)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            # Python flushes again on exit and would print a traceback.
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM was received."""


@contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """Let SIGTERM act like Ctrl-C: stop the nodes that were started, leave no partial folder."""
    if current_thread() is not main_thread():
        yield
        return

    def unwind(*_: object) -> None:
        raise _TerminatedError

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def build_parser(command: str) -> argparse.ArgumentParser:
    """Return the parser, with the arguments of one command only.

    Whatever a command needs to run, above all PyTorch, is not imported for its help or to
    reject an argument.
    """
    parser = _Parser(
        prog='leconvmn_ros',
        description='Turns surface EMG of the forearm into ten finger joint angles (LE-ConvMN).',
        epilog='The nodes are programs for ros2 run: decoder, replay, evaluator, viewer, retarget '
        'and more.',
    )
    parser.add_argument('--version', action=_Version)
    subparsers = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for name, summary in COMMANDS.items():
        if name != command:
            subparsers.add_parser(name, help=summary)
            continue
        chosen = import_module(f'leconvmn_ros.commands.parsers.{name}')
        chosen.add_arguments(
            subparsers.add_parser(
                name, help=summary, description=chosen.__doc__, formatter_class=_HelpFormatter
            )
        )
    return parser


class _Parser(argparse.ArgumentParser):
    """Reports invalid arguments safely; they may contain the name of a foreign file."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


class _Version(argparse.Action):
    """Prints the installed version, looked up on demand, and exits."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help='print the version and stop')

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        try:
            print(f'leconvmn_ros {version("leconvmn_ros")}')
        except PackageNotFoundError:
            print('leconvmn_ros, version unknown: the package is not installed')
        parser.exit()


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the description and shows defaults if there are any."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


if __name__ == '__main__':
    sys.exit(main())
