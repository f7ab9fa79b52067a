"""`assay golden …`: whether the golden set is still fit to judge with, and what is in it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli import golden_diff, golden_import, golden_publish, ingest
from assay.cli.output import ExitCode, print_json, print_line, results_only, say

if TYPE_CHECKING:
    from assay.golden_health.health import Health

app = typer.Typer(no_args_is_help=True, help="The golden set.")
app.command("ingest")(ingest.ingest)
app.command("diff")(golden_diff.diff)
app.command("import")(golden_import.import_golden)
app.command("publish")(golden_publish.publish)
app.command("sketch")(ingest.sketch)

Revision = Annotated[
    str | None, typer.Argument(help="Git revision or file. Default: the working tree's.")
]
TaskFile = Annotated[Path, typer.Option("--task", help="What the model is asked.")]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", help="The margins in force. Default: policy.yaml, if there is one."),
]
RulesFile = Annotated[
    Path | None,
    typer.Option(
        "--rules", help="What counts as healthy. Default: golden_data/health.yaml, if there is one."
    ),
]
TrafficFile = Annotated[
    Path | None,
    typer.Option("--traffic", help="Sample of traffic, JSONL or Parquet: text, label, lang."),
]
Evidence = Annotated[
    list[Path] | None,
    typer.Option("--evidence", help="Evidence folder with models' answers. May be repeated."),
]
Ledger = Annotated[
    str | None,
    typer.Option("--model", help="Count this model's gates on the set, in the registry."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ReportFile = Annotated[
    Path | None, typer.Option("--report", help="Write a page with plots to this HTML file.")
]

SIGNS = {"passed": "✓", "failed": "✗", "undecided": "?"}


@app.command()
def check(
    revision: Revision = None,
    task: TaskFile = Path("task.yaml"),
    policy: PolicyFile = None,
    rules: RulesFile = None,
    traffic: TrafficFile = None,
    evidence: Evidence = None,
    model: Ledger = None,
    as_json: AsJson = False,
) -> None:
    """Checks whether a golden set is fit to judge with.

    Exits with 0 when it is healthy, with 10 when it is not. What could not be told (no traffic was
    named, nobody annotated) is said, and decides nothing.

    Example: assay golden check --traffic last_week.jsonl --model emotion
    """
    from assay.errors import ConfigError

    path = Path(revision or "golden_data/golden.jsonl")
    try:
        golden, asked, provenance = _load(revision, task)
    except ConfigError as error:
        if not path.is_file() or not task.is_file():  # nothing was read: the command is wrong
            raise
        rows = [{"check": "readable", "status": "failed", "gating": True, "reason": str(error)}]
        if as_json:
            print_json({"healthy": False, "checks": rows})
        else:
            print_line(f"{SIGNS['failed']} {error}")
        raise typer.Exit(int(ExitCode.BLOCK)) from None
    health = _assess(golden, asked, provenance, policy, rules, traffic, evidence, model)
    if as_json:
        document = health.to_json()
        del document["tables"]
        print_json(document)
    else:
        _print_checks(health)
        say(f"{health.summary} {health.cases} cases, {health.digest}")
    raise typer.Exit(0 if health.healthy else int(ExitCode.BLOCK))


@app.command()
def stats(
    revision: Revision = None,
    task: TaskFile = Path("task.yaml"),
    policy: PolicyFile = None,
    rules: RulesFile = None,
    traffic: TrafficFile = None,
    evidence: Evidence = None,
    model: Ledger = None,
    report: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Shows what is in a golden set and how it does, on one screen, as JSON or as a page.

    Example: assay golden stats --evidence .assay/reports/RUN --report golden.html
    """
    golden, asked, provenance = _load(revision, task)
    health = _assess(golden, asked, provenance, policy, rules, traffic, evidence, model)
    if report is not None:
        from assay.golden_health.page import write_page

        write_page(report, health)
        say(f"{report}: written")
    if as_json:
        print_json(health.to_json())
        return
    from assay.golden_health.screen import screen

    for line in screen(health):
        print_line(line)


def _load(revision: str | None, task: Path) -> tuple[Any, Any, Any]:
    """Returns the set as it lies there, the task, and who published the set.

    A set whose manifest is refused is read all the same: that it is refused is what is found.
    """
    from dataclasses import replace

    from assay.task import load_task
    from flows.golden_health import provenance_of
    from flows.settings import from_environment
    from flows.wiring import golden_source

    asked = load_task(task)
    with results_only():
        source = golden_source(from_environment())
        golden = replace(source, trust=None).load(revision, asked.labels)
        return golden, asked, provenance_of(source, revision)


def _assess(
    golden: Any,
    task: Any,
    provenance: Any,
    policy: Path | None,
    rules: Path | None,
    traffic: Path | None,
    evidence: list[Path] | None,
    model: str | None,
) -> "Health":
    from assay.adapters.validator_gx import GxValidator
    from flows.golden_health import HEALTH_FILE, POLICY_FILE, Sources, golden_health, ledger_uses

    sources = Sources(
        policy=policy or _existing(POLICY_FILE),
        rules=rules or _existing(HEALTH_FILE),
        traffic=traffic,
        evidence=tuple(evidence or ()),
        repository=Path.cwd(),
    )
    with results_only():
        uses = None if model is None else ledger_uses(model, golden.digest)
        return golden_health(golden, task, GxValidator(), sources, uses=uses, provenance=provenance)


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _print_checks(health: "Health") -> None:
    for one in health.checks:
        note = "" if one.gating else " (informs only)"
        print_line(f"{SIGNS[one.status.value]} {one.name}{note}: {one.reason}")
