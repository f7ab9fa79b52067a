"""`assay golden diff`: what changed between two versions, and what that does to past verdicts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.output import print_json, print_line, results_only, say

if TYPE_CHECKING:
    from assay.golden_diff import GoldenDiff
    from flows.golden_impact import Impact


def diff(
    before: Annotated[str, typer.Argument(help="Git revision or file.")],
    after: Annotated[
        str | None, typer.Argument(help="Git revision or file. Default: the working tree's.")
    ] = None,
    task: Annotated[Path, typer.Option(help="Its labels count.")] = Path("task.yaml"),
    reports: Annotated[
        Path | None, typer.Option(help="Evidence of past gates. Default: this machine's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Shows added, removed, relabelled and moved cases, and past verdicts under the later version.

    Recorded gates of the earlier version are judged again on the cases that both versions hold:
    with their old labels, and with the new ones. Cases that were never asked stay unknown.

    Example: assay golden diff golden-v1.0.0 golden-v1.1.0
    """
    from assay.adapters.golden_dvc import DvcGoldenSource
    from assay.golden_diff import diff as compare
    from assay.task import load_task
    from flows.backtest import evidence_folders
    from flows.golden_impact import impacts
    from flows.settings import from_environment

    with results_only():
        labels, source = load_task(task).labels, DvcGoldenSource(Path.cwd())
        old, new = source.load(before, labels), source.load(after, labels)
        change = compare(old, new)
        folders = evidence_folders(reports or from_environment().reports)
        found = [] if change.empty else impacts(folders, old, new)
    if as_json:
        print_json({**change.to_json(), "verdicts": [one.to_json() for one in found]})
        return
    _print_change(change)
    _print_verdicts(found, len(folders))


def _print_change(change: "GoldenDiff") -> None:
    from assay.golden_diff import lines

    for line in lines(change):
        print_line(line)
    if change.empty:
        return
    width = max(len(one.label) for one in change.classes)
    print_line(f"{'class':<{max(width, 5)}}  before  after  change")
    for one in change.classes:
        print_line(
            f"{one.label:<{max(width, 5)}}  {one.before:>6}  {one.after:>5}  "
            f"{one.after - one.before:>+6}"
        )


def _print_verdicts(found: "list[Impact]", folders: int) -> None:
    if not found:
        say(f"no recorded gate used the earlier version ({folders} on record)")
        return
    for one in found:
        if one.relabelled is None or one.shared is None:
            print_line(f"{one.run_id}: {one.candidate}: {one.recorded.value}; {one.note}")
            continue
        mark = "CHANGED" if one.changed else "same"
        print_line(
            f"{one.run_id}: {one.candidate}: {one.recorded.value}; on the {one.cases} shared cases "
            f"{one.shared.value}, with the new labels {one.relabelled.value} ({mark}); {one.note}"
        )
