"""`assay golden …`: checking and describing the golden set."""

from pathlib import Path
from typing import Annotated

import typer

from assay.cli import ingest
from assay.cli.output import ExitCode, print_json, print_line, results_only, say

app = typer.Typer(no_args_is_help=True, help="The golden set.")
app.command("ingest")(ingest.ingest)
app.command("sketch")(ingest.sketch)

Revision = Annotated[
    str | None, typer.Argument(help="Git revision or file. Default: the working tree's.")
]
TaskFile = Annotated[Path, typer.Option("--task", help="What the model is asked.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def check(
    revision: Revision = None, task: TaskFile = Path("task.yaml"), as_json: AsJson = False
) -> None:
    """Checks a golden set: labels, ids, blanks, duplicates.

    Exits with 0 when it may be used, with 12 when it may not.
    """
    from assay.adapters.golden_dvc import DvcGoldenSource
    from assay.adapters.validator_gx import GxValidator
    from assay.errors import ConfigError
    from assay.records import FindingStatus
    from assay.task import load_task

    labels = load_task(task).labels
    path = Path(revision or "golden_data/golden.jsonl")
    golden, rows = None, []
    try:
        with results_only():
            golden = DvcGoldenSource(Path.cwd()).load(revision, labels)
            findings = GxValidator().check(golden, labels)
        rows = [{"check": f.metric, "status": f.status.value, "reason": f.reason} for f in findings]
    except ConfigError as error:
        if not path.is_file():  # nothing was read: the command is wrong, not the data
            raise
        rows = [{"check": "readable", "status": FindingStatus.FAILED.value, "reason": str(error)}]
    if as_json:
        identity = {"digest": golden.digest, "size": golden.size} if golden else {}
        print_json({**identity, "checks": rows})
    else:
        for row in rows:
            sign = "✓" if row["status"] == FindingStatus.PASSED.value else "✗"
            print_line(f"{sign} {row['reason']}")
        if golden:
            say(f"{golden.size} cases, {golden.digest}")
    sound = all(row["status"] == FindingStatus.PASSED.value for row in rows)
    raise typer.Exit(0 if sound else int(ExitCode.INVALID))


@app.command()
def stats(revision: Revision = None, task: TaskFile = Path("task.yaml")) -> None:
    """Prints how many cases there are of each label, language, stratum and slice, as JSON."""
    from assay.adapters.golden_dvc import DvcGoldenSource
    from assay.golden_stats import stats as count
    from assay.task import load_task

    with results_only():
        golden = DvcGoldenSource(Path.cwd()).load(revision, load_task(task).labels)
    print_json(count(golden).to_json())
