"""`assay golden …`: checking and describing the golden set."""

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.output import ExitCode, print_json, say

app = typer.Typer(no_args_is_help=True, help="The golden set.")

Revision = Annotated[
    str | None, typer.Argument(help="Git revision or file. Default: the working tree's.")
]
TaskFile = Annotated[Path, typer.Option("--task", help="What the model is asked.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def check(
    revision: Revision = None, task: TaskFile = Path("task.yaml"), as_json: AsJson = False
) -> None:
    """Checks a golden set: labels, ids, blanks, duplicates."""
    from assay.adapters.golden_dvc import DvcGoldenSource
    from assay.adapters.validator_gx import GxValidator
    from assay.records import FindingStatus
    from assay.task import load_task

    labels = load_task(task).labels
    golden = DvcGoldenSource(Path.cwd()).load(revision, labels)
    findings = GxValidator().check(golden, labels)
    failed = [one for one in findings if one.status is not FindingStatus.PASSED]
    if as_json:
        rows = [{"check": f.metric, "status": f.status.value, "reason": f.reason} for f in findings]
        print_json({"digest": golden.digest, "size": golden.size, "checks": rows})
    else:
        for one in findings:
            print(f"{'✓' if one.status is FindingStatus.PASSED else '✗'} {one.reason}")
        say(f"{golden.size} cases, {golden.digest}")
    raise typer.Exit(int(ExitCode.INVALID) if failed else 0)


@app.command()
def stats(revision: Revision = None, task: TaskFile = Path("task.yaml")) -> None:
    """Prints how many cases there are of each label, language, stratum and slice, as JSON."""
    from assay.adapters.golden_dvc import DvcGoldenSource
    from assay.golden_stats import stats as count
    from assay.task import load_task

    golden = DvcGoldenSource(Path.cwd()).load(revision, load_task(task).labels)
    print_json(count(golden).to_json())
