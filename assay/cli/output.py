"""Where output goes: people's text to stderr, results to stdout, one JSON document with --json."""

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.records import Verdict


class ExitCode(IntEnum):
    """Exit codes beside the verdict's own (`VerdictKind.exit_code`)."""

    DONE = 0
    USAGE = 2
    BLOCK = 10
    INCONCLUSIVE = 11
    INVALID = 12
    INTERRUPTED = 130


def complain(error: Exception, code: ExitCode) -> int:
    """Prints an error for people and, with --json, for programs; returns the exit code."""
    print(f"assay: {error}", file=sys.stderr)
    if "--json" in sys.argv:
        document = {"error": {"kind": type(error).__name__, "message": str(error)}}
        print(json.dumps(document, ensure_ascii=False))
    return int(code)


def say(line: str) -> None:
    """Tells people something."""
    print(line, file=sys.stderr, flush=True)


class TimedProgress:
    """Prints progress lines with the seconds since the command began."""

    def __init__(self) -> None:
        self._zero = time.monotonic()

    def __call__(self, line: str) -> None:
        """Prints one line."""
        say(f"[{time.monotonic() - self._zero:6.1f} s] {line}")


def print_json(value: Any) -> None:
    """Prints one JSON document to stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_verdict(verdict: "Verdict", *, as_json: bool) -> None:
    """Prints a verdict: its document, or a table for people."""
    if as_json:
        from assay.verdict import verdict_bytes

        sys.stdout.write(verdict_bytes(verdict).decode())
        sys.stdout.flush()
        return
    from rich.console import Console
    from rich.markup import escape

    colours = {"promote": "green", "block": "red", "inconclusive": "yellow", "invalid": "magenta"}
    console = Console(highlight=False)
    name = verdict.verdict.value
    console.print(f"[bold {colours[name]}]{name.upper()}[/]  {escape(verdict.summary)}")
    for problem in verdict.context.problems:
        console.print(f"  [bold]{escape(problem.where)}[/]: {escape(problem.action)}")
    if verdict.findings:
        console.print(_table(verdict))
    if verdict.next_steps:
        console.print("[bold]What to do next[/]")
        for step in verdict.next_steps:
            console.print(f"  • {escape(step)}")


def _table(verdict: "Verdict") -> Any:
    from rich.markup import escape
    from rich.table import Table

    signs = {"passed": "[green]✓[/]", "failed": "[red]✗[/]", "undecided": "[yellow]?[/]"}
    table = Table(box=None, pad_edge=False)
    for name in ("", "check", "candidate", "production", "bound", "margin", "n"):
        table.add_column(name, justify="left" if name in ("", "check") else "right")
    for finding in verdict.findings:
        if finding.gating:
            numbers = (finding.candidate, finding.production, finding.bound, finding.margin)
            table.add_row(
                signs[finding.status.value],
                escape(f"{finding.metric} ({finding.kind.replace('_', '-')})"),
                *("–" if number is None else f"{number:.4g}" for number in numbers),
                "–" if finding.n is None else str(finding.n),
            )
    return table


@contextmanager
def terminable() -> Iterator[None]:
    """Makes SIGTERM end a command the way Ctrl-C does, so that everything is torn down."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
