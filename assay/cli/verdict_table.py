"""A verdict for people: the answer, why, every check that counted, and what to do next.

Decides how it looks on a wide terminal, on a narrow one (a block for each check instead of a table
that would be cut) and in a file or a pipe (no colour, no line is broken).
"""

import sys
import textwrap
from typing import TYPE_CHECKING

from assay.cli.output import print_bytes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from assay.records import Finding, Verdict

_COLOURS = {"promote": "green", "block": "red", "inconclusive": "yellow", "invalid": "magenta"}
_SIGNS = {"passed": "[green]✓[/]", "failed": "[red]✗[/]", "undecided": "[yellow]?[/]"}
_NUMBERS = ("candidate", "production", "bound", "margin", "n")
_UNBROKEN = 10_000


def print_verdict(verdict: "Verdict", *, as_json: bool) -> None:
    """Prints a verdict to stdout: its document, or a page for people."""
    if as_json:
        from assay.verdict import verdict_bytes

        print_bytes(verdict_bytes(verdict))
        return
    from rich.console import Console

    # A pipe has no width: a line broken for a screen of 80 columns could not be searched.
    width = None if sys.stdout.isatty() else _UNBROKEN
    _show(verdict, Console(highlight=False, width=width))


def _show(verdict: "Verdict", console: "Console") -> None:
    from rich.markup import escape

    name = verdict.verdict.value
    console.print(f"[bold {_COLOURS[name]}]{name.upper()}[/]  {escape(verdict.summary)}")
    for problem in verdict.context.problems:
        console.print(f"  [bold]{escape(problem.where)}[/]: {escape(problem.action)}")
    gating = [finding for finding in verdict.findings if finding.gating]
    if gating:
        table = _table(gating)
        unbroken = console.options.update(width=_UNBROKEN)
        if console.measure(table, options=unbroken).maximum <= console.width:
            console.print(table)
        else:
            _stack(gating, console)
    if verdict.next_steps:
        console.print("[bold]What to do next[/]")
        for step in verdict.next_steps:
            console.print(escape(_listed(step, console.width)), soft_wrap=True)


def _listed(sentence: str, width: int) -> str:
    return textwrap.fill(
        sentence,
        width,
        initial_indent="  • ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(findings: "list[Finding]") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("check", no_wrap=True)
    for name in _NUMBERS:
        table.add_column(name, justify="right", no_wrap=True)
    for finding in findings:
        numbers = _numbers(finding)
        table.add_row(_SIGNS[finding.status.value], escape(_named(finding)), *numbers)
    return table


def _stack(findings: "list[Finding]", console: "Console") -> None:
    from rich.markup import escape

    for finding in findings:
        console.print(f"{_SIGNS[finding.status.value]} {escape(_named(finding))}")
        for name, number in zip(_NUMBERS, _numbers(finding), strict=True):
            if number != "–":
                console.print(f"    {name:<10} {number}")


def _named(finding: "Finding") -> str:
    return f"{finding.metric} ({finding.kind.replace('_', '-')})"


def _numbers(finding: "Finding") -> list[str]:
    values = (finding.candidate, finding.production, finding.bound, finding.margin)
    shown = ["–" if value is None else f"{value:.4g}" for value in values]
    return [*shown, "–" if finding.n is None else str(finding.n)]
