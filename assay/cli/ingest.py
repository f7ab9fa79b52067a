"""`assay golden ingest` and `assay golden sketch`: people's answers in, a proposed set out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.output import ExitCode, TimedProgress, print_json, print_line, results_only

if TYPE_CHECKING:
    from assay.relabelling.proposal import Summary
    from flows.relabel_ingestion import Ingested

_SHOWN = 8


def ingest(
    export: Annotated[Path, typer.Argument(help="Label Studio JSON, flattened Argilla or JSONL.")],
    golden: Annotated[
        Path | None, typer.Option(help="A golden file. Default: the working tree's.")
    ] = None,
    policy: Annotated[Path, typer.Option(help="The rules.")] = Path("relabel.yaml"),
    task: Annotated[Path, typer.Option(help="What the model is asked.")] = Path("task.yaml"),
    out: Annotated[Path, typer.Option(help="The proposal's folder.")] = Path("proposal"),
    version: Annotated[
        str | None, typer.Option(help="Version of new cases. Default: the next minor one.")
    ] = None,
    training: Annotated[
        list[Path] | None, typer.Option(help="Training text (JSONL), to find leaks.")
    ] = None,
    sketch: Annotated[
        list[Path] | None, typer.Option(help="Salted sketch of training text, likewise.")
    ] = None,
    sketch_salt: Annotated[Path | None, typer.Option(help="The sketches' salt.")] = None,
    reviews: Annotated[
        Path | None,
        typer.Option(help="Folder of the review exports. Default: reviews in Assay's home."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Turns people's answers into a proposed golden set; changes nothing that exists.

    Exit codes: 0 every row accepted, 10 some quarantined or rejected (ingest_report.jsonl says
    which and why; the rest is in the proposal), 12 the resulting set does not hold its checks and
    no golden.jsonl is written, 2 the export or a setting is not usable and nothing is written.

    Example: assay golden ingest export.json --out proposal
    """
    from flows.relabel_request import IngestOptions, run_ingestion
    from flows.settings import from_environment

    options = IngestOptions(
        export=export,
        golden=golden,
        policy=policy,
        task=task,
        out=out,
        version=version,
        training=training or (),
        sketches=sketch or (),
        sketch_salt=sketch_salt,
        reviews=reviews,
        dry_run=dry_run,
    )
    with results_only():
        found, summary = run_ingestion(options, from_environment(), TimedProgress())
    if as_json:
        print_json(_document(summary, None if dry_run else out))
    else:
        _show(found, summary, None if dry_run else out)
    raise typer.Exit(_code(found))


def _code(found: "Ingested") -> int:
    if not found.sound:
        return int(ExitCode.INVALID)
    return int(ExitCode.DONE if found.all_accepted else ExitCode.BLOCK)


def _document(summary: "Summary", out: Path | None) -> dict[str, Any]:
    document: dict[str, Any] = summary.model_dump(mode="json")
    return document | {"proposal": None if out is None else str(out)}


def _show(found: "Ingested", summary: "Summary", out: Path | None) -> None:
    print_line(f"{summary.export.format} export, {summary.export.rows} rows")
    width = max((len(reason) for reason in summary.reasons), default=0)
    for reason, count in summary.reasons.items():
        print_line(f"  {reason:<{width}}  {count:>7}")
    alpha, interval = summary.agreement.alpha, summary.agreement.interval
    if alpha is not None and interval is not None:
        print_line(f"agreement  alpha {alpha:.3f} ({interval[0]:.3f} to {interval[1]:.3f})")
    if summary.anchoring_share is not None:
        print_line(f"anchoring  {summary.anchoring_share:.0%} repeat the prediction shown")
    for person in [one for one in summary.annotators if one.out][:_SHOWN]:
        print_line(f"out        {person.annotator}: {person.out}")
    for check in summary.checks:
        if check.status != "passed":
            print_line(f"✗ {check.reason}")
    changes = ", ".join(f"{count} {change}" for change, count in summary.changes.items())
    print_line(f"version {summary.version}: {summary.cases} cases; {changes or 'nothing changes'}")
    if out is not None and found.sound:
        print_line(f"proposal   {out}; publish it with `assay golden publish {out}`")
    elif out is not None:
        print_line(f"proposal   {out}: report only, its set is not sound")


def sketch(
    training: Annotated[Path, typer.Argument(help="Training text: JSONL with a field text.")],
    salt: Annotated[Path, typer.Option(help="File with a secret of at least 16 characters.")],
    out: Annotated[Path, typer.Option(help="Where the sketch is written.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Writes a salted sketch of training text, against which golden cases are checked for leaks.

    Example: assay golden sketch train.jsonl --salt sketch.salt --out train.sketch.jsonl
    """
    from flows.relabel_request import sketch_file

    count = sketch_file(training, salt, out)
    if as_json:
        print_json({"sketch": str(out), "texts": count})
    else:
        print_line(f"{out}: {count} distinct texts, none of them readable")
