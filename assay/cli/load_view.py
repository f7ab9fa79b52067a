"""How a load test looks: a line that moves on a terminal, plain lines elsewhere, a table at last.

Decides only that. The moving line is drawn by a thread that reads counters: computing percentiles
there would take the time of requests that are due.
"""

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from assay.cli.output import say

if TYPE_CHECKING:
    from rich.table import Table

    from assay.load.percentiles import Percentile
    from assay.load.profile import LoadProfile
    from assay.load.report import LoadReport
    from assay.load.summary import LoadSummary, Tally, TimeSummary

_COLOURS = {"met": "green", "missed": "red", "too_few": "yellow", "invalid": "magenta"}
_WORDS = {
    "met": "OBJECTIVES MET", "missed": "OBJECTIVES MISSED", "too_few": "NOT SHOWN EITHER WAY",
    "invalid": "RUN DOES NOT COUNT",
}  # fmt: skip
_SIGNS = {"passed": "[green]✓[/]", "failed": "[red]✗[/]", "undecided": "[yellow]?[/]"}
_TITLES = {
    "ttft": "time to first token", "itl": "between tokens", "tpot": "per output token",
    "e2e": "end to end",
}  # fmt: skip
_LINE_EVERY_S = 10.0


class LiveView:
    """Says how a load is going; use as a context manager."""

    def __init__(self) -> None:
        self._moves = sys.stderr.isatty()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True)
        self._now: tuple[LoadProfile, Tally, float] | None = None

    def __enter__(self) -> Self:
        """Starts to draw."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Draws the last state, and stops."""
        self._over.set()
        self._thread.join()
        if self._now is not None:
            self._show(last=True)

    def began(self, profile: "LoadProfile", tally: "Tally") -> None:
        """Turns to a run that begins now; a search has many."""
        if self._now is not None:
            self._show(last=True)
        self._now = (profile, tally, time.monotonic())
        say(f"{profile.name}: {_plan(profile)}")

    def _draw(self) -> None:
        while not self._over.wait(1.0 if self._moves else _LINE_EVERY_S):
            if self._now is not None:
                self._show(last=False)

    def _show(self, *, last: bool) -> None:
        assert self._now is not None  # noqa: S101 - for the type checker
        profile, tally, began_s = self._now
        total_s = profile.warm_up_s + profile.duration_s
        line = (
            f"{min(time.monotonic() - began_s, total_s):6.0f} of {total_s:.0f} s: "
            f"{tally.answered:,} answered, {tally.good:,} within the objectives, "
            f"{sum(tally.errors.values()):,} without an answer"
        )
        if not tally.requests:
            line = f"warming up, {tally.warmed_up:,} requests"
        if self._moves:
            print(f"\r\x1b[K{line}", end="\n" if last else "", file=sys.stderr, flush=True)
        else:
            say(line)


def _plan(profile: "LoadProfile") -> str:
    """Says in a sentence what is about to be sent."""
    from assay.load.objectives import requests_to_decide

    fields = profile.arrivals.model_dump(exclude={"kind"})
    details = ", ".join(f"{name} {value}" for name, value in fields.items())
    expected, needed = profile.expected_requests, requests_to_decide(profile)
    plan = f"{profile.arrivals.kind} arrivals ({details}) for {profile.duration_s:g} s"
    if expected is None:
        return plan
    plan = f"{plan}, about {expected:,.0f} requests"
    return plan if expected >= needed or profile.search else f"{plan} of the {needed:,} it takes"


def print_report(report: "LoadReport") -> None:
    """Prints a report to stdout, for people."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    outcome, summary = report.verdict.outcome.value, report.summary
    console.print(
        f"[bold {_COLOURS[outcome]}]{_WORDS[outcome]}[/]  {escape(report.model)} at "
        f"{escape(report.server)}, profile {report.profile.name}", soft_wrap=True,
    )  # fmt: skip
    for sentence in report.verdict.invalid:
        console.print(f"  [magenta]{escape(sentence)}[/]", soft_wrap=True)
    if any(times.n for times in summary.times.values()):
        console.print(_table(summary))
    for line in _figures(report):
        console.print(escape(line), soft_wrap=True)
    for result in report.verdict.objectives:
        sign = _SIGNS[result.status.value]
        console.print(f"{sign} {result.name}: {escape(result.reason)}", soft_wrap=True)
    if report.search is not None:
        for step in report.search.steps:
            kind = "confirmation" if step.confirmation else "step"
            sign = _SIGNS["passed" if step.met else "failed"]
            said = f"{kind} at {step.rate_per_s:.3g}/s, {step.requests:,} requests: {step.reason}"
            console.print(f"  {sign} {escape(said)}", soft_wrap=True)
    for note in report.verdict.notes:
        console.print(f"note: {escape(note)}", soft_wrap=True)


def _table(summary: "LoadSummary") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("ms, from the intended start")
    for name in ("p50", "p90", "p95", "p99 (bounds)", "p99.9", "max", "n"):
        table.add_column(name, justify="right")
    for kind, times in summary.times.items():
        if times.n:
            table.add_row(_TITLES[kind], *_cells(times))
    return table


def _cells(times: "TimeSummary") -> list[str]:
    p50, p90, p95, p99, p999 = times.percentiles
    bounded = f"{_ms(p99)} ({_bound(p99.lower)}–{_bound(p99.upper)})"
    largest = "" if times.max_ms is None else f"{times.max_ms:.4g}"
    return [_ms(p50), _ms(p90), _ms(p95), bounded, _ms(p999), largest, f"{times.n:,}"]


def _ms(percentile: "Percentile") -> str:
    return f"{'>' if percentile.at_least else ''}{percentile.value:.4g}"


def _bound(value: float | None) -> str:
    return "?" if value is None else f"{value:.4g}"


def _figures(report: "LoadReport") -> list[str]:
    summary = report.summary
    run, lag = summary.generator, summary.lag
    kinds = ", ".join(f"{kind} × {count:,}" for kind, count in summary.errors.items())
    share = "unknown" if summary.good_share is None else f"{summary.good_share:.2%}"
    late = ", ".join(
        f"p{100 * p.share:g} {p.value:.3g} ms" for p in lag.percentiles if p.share in (0.5, 0.99)
    )
    return [
        f"requests: {summary.requests:,} in {summary.measured_s:.1f} s, {summary.answered:,} "
        f"answered{f' ({kinds})' if kinds else ''}; {_per_s(summary.offered_per_s)} offered, "
        f"{_per_s(summary.answered_per_s)} answered",
        f"goodput:  {_per_s(summary.good_per_s)} within every objective ({share})",
        f"tokens:   {_per_s(summary.input_tokens_per_s)} in, "
        f"{_per_s(summary.output_tokens_per_s)} out",
        f"generator: late by {late or 'nothing'}; {run.cpu_share:.0%} of one core; at most "
        f"{run.most_in_flight:,} in flight",
    ]


def _per_s(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.4g}/s"
