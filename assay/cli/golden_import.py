"""`assay golden import`: rows of another tool become golden cases."""

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.output import ExitCode, print_json, print_line, results_only, say

_SHOWN = 5


def import_golden(
    source: Annotated[
        str, typer.Argument(help="CSV, JSONL or Parquet file, saved data set, or hf:NAME@SPLIT.")
    ],
    mapping: Annotated[Path, typer.Option(help="What the columns mean.")],
    out: Annotated[Path, typer.Option(help="The golden file to write.")],
    task: Annotated[Path, typer.Option(help="Its labels count.")] = Path("task.yaml"),
    split: Annotated[str | None, typer.Option(help="Of a data set with several.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="A row of the source a line. Default: beside --out.")
    ] = None,
    skip_rejected: Annotated[
        bool, typer.Option(help="Write the accepted rows although others are rejected.")
    ] = False,
    force: Annotated[bool, typer.Option(help="Replace --out where it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Imports a golden set of any labels and language by a mapping document.

    Exits with 0 when the golden file is written, with 12 when rows are rejected and it is not.

    Example: assay golden import intents.csv --mapping mapping.yaml --out golden.jsonl
    """
    from flows.golden_importing import ImportRequest, run_import

    with results_only():
        done = run_import(
            ImportRequest(
                source=source,
                mapping=mapping,
                out=out,
                task=task,
                split=split,
                report=report,
                skip_rejected=skip_rejected,
                force=force,
            )
        )
    found = done.imported
    if as_json:
        print_json(done.to_json())
    else:
        rejected = [row for row in found.rows if row.status == "rejected"]
        for row in rejected[:_SHOWN]:
            say(f"{row.row}: {row.why}")
        if len(rejected) > _SHOWN:
            say(f"… and {len(rejected) - _SHOWN} more, all in {done.report}")
        for label, count in found.unknown_labels.items():
            say(f"label {label!r}: {count} rows, unknown to the task and to the mapping")
        counts = ", ".join(f"{n} {what}" for what, n in done.counts.items())
        wrote = f"{out}: {done.digest}" if done.written else f"{out} is not written"
        print_line(f"{counts}; {wrote}")
    raise typer.Exit(0 if done.written else int(ExitCode.INVALID))
