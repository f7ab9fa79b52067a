"""`assay review …`: what people should look at next, handed to their labelling tool."""

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.output import TimedProgress, print_json, print_line, results_only, say

app = typer.Typer(no_args_is_help=True, help="What people should look at next.")

PolicyFile = Annotated[Path, typer.Option("--policy", help="Budget, shares, signals, server.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def export(
    evidence: Annotated[
        Path | None, typer.Argument(help="Evidence folder of a gate: work orders, doubts.")
    ] = None,
    feedback: Annotated[
        list[Path] | None,
        typer.Option(help="Requests with signals (JSONL or Parquet); may be repeated."),
    ] = None,
    traffic: Annotated[
        list[Path] | None,
        typer.Option(help="A plain sample of production's requests; may be repeated."),
    ] = None,
    policy: PolicyFile = Path("review.yaml"),
    task: Annotated[Path, typer.Option(help="What the model is asked.")] = Path("task.yaml"),
    relabel: Annotated[
        Path | None,
        typer.Option(help="Ingestion's rules, for what it would refuse. Default: relabel.yaml."),
    ] = None,
    golden: Annotated[
        str | None, typer.Option(help="Git revision or file. Default: the working tree's.")
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Texts. Default: the policy's.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of every draw. Default: derived from the inputs.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of all exports. Default: reviews in Assay's home.")
    ] = None,
    push: Annotated[
        bool, typer.Option("--push/--no-push", help="Push to the server that the policy names.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Picks what people should label next, and writes it as tasks; never the same text twice.

    Example: assay review export .assay/reports/RUN --traffic sample.parquet --feedback votes.jsonl
    """
    from datetime import UTC, datetime

    from flows import review_wiring
    from flows.review_summary import as_markdown
    from flows.reviewing import ReviewRequest, conduct_review
    from flows.settings import from_environment

    request = ReviewRequest(
        policy=policy,
        relabel=relabel,
        task=task,
        golden=golden,
        evidence=evidence,
        feedback=tuple(feedback or ()),
        traffic=tuple(traffic or ()),
        budget=budget,
        seed=seed,
        out=out,
        push=push,
    )
    with results_only():
        result = conduct_review(
            request,
            settings=from_environment(),
            golden=review_wiring.wire_golden(),
            push=review_wiring.push,
            now=lambda: datetime.now(UTC),
            progress=TimedProgress(),
        )
    if as_json:
        folder = str(result.folder) if result.folder else None
        print_json({"folder": folder, "manifest": result.manifest.model_dump(mode="json")})
    else:
        print_line(as_markdown(result).rstrip("\n"))
    if result.folder is not None:
        say(f"export: {result.folder}")


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="A folder that `assay review export` wrote.")],
    policy: PolicyFile = Path("review.yaml"),
    as_json: AsJson = False,
) -> None:
    """Pushes an export to Label Studio; one that broke off is gone on with.

    The token is read from the environment variable LABEL_STUDIO_API_KEY.

    Example: assay review push .assay/reviews/20261123T151200Z-1f2e3d4c
    """
    from assay.review.policy import load_review_policy
    from flows import review_wiring

    with results_only():
        pushed = review_wiring.push(folder, load_review_policy(policy))
    if as_json:
        print_json(
            {
                "url": pushed.url,
                "project": pushed.project,
                "added": pushed.added,
                "present": pushed.present,
            }
        )
    else:
        print_line(
            f"{pushed.added} tasks added to project {pushed.project} of {pushed.url}, "
            f"{pushed.present} were there"
        )
