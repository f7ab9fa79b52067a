"""Where output goes: people's text to stderr, results to stdout, one JSON document with --json."""

import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from enum import IntEnum
from types import FrameType
from typing import Any, TextIO, cast

from assay.adapters import log_json
from assay.adapters.log_json import LoggedLines
from assay.cli import live

_log = logging.getLogger(__name__)


class ExitCode(IntEnum):
    """Exit codes beside the verdict's own (`VerdictKind.exit_code`)."""

    DONE = 0
    CRASH = 1
    NOT_PROMOTED = 1  # the verdict is promote, but production did not move: nothing is shipped
    USAGE = 2
    BLOCK = 10
    INCONCLUSIVE = 11
    INVALID = 12
    INTERRUPTED = 130


def complain(kind: str, message: str, code: ExitCode, *, as_json: bool) -> int:
    """Prints an error for people and, with --json, for programs; returns the exit code."""
    if log_json.is_on():
        _log.error(message, extra={"error_kind": kind, "exit_code": int(code)})
    else:
        say(f"assay: {message}")
    if as_json:
        print_json({"error": {"kind": kind, "message": message}})
    return int(code)


def say(line: str) -> None:
    """Tells people something; where the log is JSON, tells it there."""
    if log_json.is_on():
        _log.info(line)
    else:
        print(line, file=sys.stderr, flush=True)


class TimedProgress:
    """Prints progress lines with the seconds since the command began."""

    def __init__(self) -> None:
        self._zero = time.monotonic()

    def __call__(self, line: str) -> None:
        """Prints one line; a line of JSON has a time of its own."""
        if log_json.is_on():
            return say(line)
        say(f"[{time.monotonic() - self._zero:6.1f} s] {line}")
        live.at(line)


def print_line(line: str) -> None:
    """Prints one line of a result to stdout."""
    print(line)


def print_json(value: Any) -> None:
    """Prints one JSON document to stdout."""
    print_bytes(json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n")


def print_bytes(document: bytes) -> None:
    """Prints a document to stdout as it is, whatever encoding the terminal has."""
    sys.stdout.flush()
    sys.stdout.buffer.write(document)
    sys.stdout.flush()


@contextmanager
def results_only() -> Iterator[None]:
    """Keeps stdout for the result: what libraries print meanwhile goes to stderr, or the log.

    On a terminal, what is being done and for how long stands below the lines until it is done.
    """
    if log_json.is_on():
        printed = LoggedLines(logging.getLogger("assay.printed"))
        with redirect_stdout(cast(TextIO, printed)):
            yield
        return
    with live.shown(), redirect_stdout(sys.stderr):
        yield


def tolerate_encodings() -> None:
    """Lets a terminal that cannot show a sign show its number, rather than end the command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def terminable() -> Iterator[None]:
    """Makes SIGTERM end a command the way Ctrl-C does, so that everything is torn down.

    A second one is ignored: whoever sends it wants the end that has begun.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if callable(signal.getsignal(signal.SIGINT)):
            # An event loop that runs now has its own, orderly way with Ctrl-C: an exception raised
            # in the middle of it could be lost.
            signal.raise_signal(signal.SIGINT)
        else:  # started where Ctrl-C is ignored, as in a script's background
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
