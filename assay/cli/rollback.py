"""`assay rollback`: production goes back to a version that was good, on one screen."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.completion import model_names, version_names
from assay.cli.output import ExitCode, TimedProgress, print_json, print_line, results_only

if TYPE_CHECKING:
    from flows.rollback import RollbackResult

_SIGNS = {"verified": "✓", "unverified": "?"}


def rollback(
    model: Annotated[
        str, typer.Argument(help="The model's name in the registry.", autocompletion=model_names)
    ],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    to: Annotated[
        str | None,
        typer.Option(
            help="The version to go back to. Default: what previous-production names.",
            autocompletion=version_names,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Moves production back, once the target's evidence and signature are verified again.

    Works without the store: what could not be verified is then said. Exit codes: 0 the version is
    in production, 1 it is not (somebody moved production meanwhile), 10 its evidence or signature
    is not what it must be, 12 the registry does not answer, 2 usage.

    Example: assay rollback emotion-demo --reason "fear is missed in Vietnamese"
    """
    from datetime import UTC, datetime

    from flows.conduct import new_run_id
    from flows.rollback import roll_back
    from flows.settings import from_environment
    from flows.wiring import wire_rollback

    settings = from_environment()
    with results_only():
        result = roll_back(
            model,
            to,
            reason=reason,
            run_id=new_run_id(datetime.now(UTC)),
            settings=settings,
            ports=wire_rollback(settings),
            progress=TimedProgress(),
        )
    if as_json:
        print_json(_document(result))
    else:
        _show(result, settings.who)
    raise typer.Exit(0 if result.in_place else int(ExitCode.NOT_PROMOTED))


def _show(result: "RollbackResult", who: str) -> None:
    way, outcome = result.way, result.outcome
    head = "ROLLED BACK" if outcome.moved else "UNCHANGED" if result.in_place else "NOT MOVED"
    print_line(f"{head}  {way.target.model}: {outcome.reason}")
    if outcome.moved:
        print_line(f"  by {who}")
    width = max((len(check.what) for check in result.checks), default=0)
    for check in result.checks:
        print_line(f"  {_SIGNS[check.result]} {check.what:<{width}}  {check.detail}")
    print_line("What to do next")
    for step in next_steps(result):
        print_line(f"  • {step}")


def next_steps(result: "RollbackResult") -> list[str]:
    """Returns what whoever moved production back can do now, most useful first."""
    way = result.way
    if not result.in_place:
        return ["Look at who moved production meanwhile, then run the same command again."]
    if not result.outcome.moved:
        return [f"To go further back, name a version: assay rollback {way.target.model} --to …"]
    steps = [
        f"Deploy what the alias `production` names now: {way.target.version}.",
        f"{way.current.version} cannot be promoted again: mend it and publish a new version.",
        f"Evidence of this move: {result.evidence_dir}",
    ]
    if any(check.result == "unverified" for check in result.checks):
        model, version = way.target.model, way.target.version
        steps.insert(1, f"Once the store answers: assay store verify {model} {version}")
    return steps


def _document(result: "RollbackResult") -> dict[str, Any]:
    way, outcome = result.way, result.outcome
    return {
        "moved": outcome.moved,
        "in_place": result.in_place,
        "reason": outcome.reason,
        "from": {"version": way.current.version, "digest": way.current.digest},
        "to": {"version": way.target.version, "digest": way.target.digest},
        "checks": [{"what": c.what, "result": c.result, "detail": c.detail} for c in result.checks],
        "evidence": None if result.evidence_dir is None else str(result.evidence_dir),
        "recorded_as": result.recorded_as,
        "next_steps": next_steps(result),
    }
