"""The Prefect flow `export-review`: `conduct_review`, with what it chose as an artifact.

Decides how an export looks in Prefect and nothing about the export itself. The flow completes also
when nothing was left to ask about; a push that failed is a failure whose message names the folder.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from assay.errors import AssayError
from flows.forms import GoldenSet, TaskFile, question
from flows.gate_release import flow_logger
from flows.review_summary import as_markdown, in_a_sentence
from flows.review_wiring import push as push_export
from flows.review_wiring import wire_golden
from flows.reviewing import ReviewRequest, conduct_review
from flows.settings import from_environment


@flow(
    name="export-review",
    persist_result=False,
    description="Picks what people should look at next, and hands it to their labelling tool.",
)
def export_review(
    evidence: Annotated[
        str | None,
        question("Evidence", "The evidence folder of a gate, for its work order; empty: none."),
    ] = None,
    feedback: Annotated[
        list[str] | None,
        question("Feedback files", "Requests with people's signals (JSONL, Parquet)."),
    ] = None,
    traffic: Annotated[
        list[str] | None,
        question("Traffic files", "Plain samples of production's requests (JSONL, Parquet)."),
    ] = None,
    policy: Annotated[
        str, question("Review file", "Budget, shares, signals and labelling server (YAML).")
    ] = "review.yaml",
    relabel: Annotated[
        str | None,
        question(
            "Rules file of ingestion",
            "What ingestion would refuse is not asked; empty: `relabel.yaml`, or its defaults.",
        ),
    ] = None,
    task: TaskFile = "task.yaml",
    golden: GoldenSet = None,
    budget: Annotated[
        int | None,
        question(
            "Budget",
            "How many texts to ask about; empty: as the review file says.",
            at_least=1,
        ),
    ] = None,
    seed: Annotated[
        int | None, question("Seed", "Of the random choice; empty: derived from the inputs.")
    ] = None,
    out: Annotated[
        str | None, question("Folder", "Where the export goes; empty: `reviews` in Assay's home.")
    ] = None,
    push: Annotated[
        bool, question("Push", "Also push to the labelling server that the review file names.")
    ] = True,
) -> State[Any]:
    """Exports what people should look at next.

    Returns:
        Completed with what was exported, or that nothing was left; Failed, named after the error.
    """
    request = ReviewRequest(
        policy=Path(policy),
        relabel=Path(relabel) if relabel else None,
        task=Path(task),
        golden=golden,
        evidence=Path(evidence) if evidence else None,
        feedback=tuple(map(Path, feedback or ())),
        traffic=tuple(map(Path, traffic or ())),
        budget=budget,
        seed=seed,
        out=Path(out) if out else None,
        push=push,
    )
    try:
        result = conduct_review(
            request,
            settings=from_environment(),
            golden=wire_golden(),
            push=push_export,
            now=lambda: datetime.now(UTC),
            progress=flow_logger().info,
        )
    except AssayError as error:
        return Failed(name=type(error).__name__, message=str(error))
    said = in_a_sentence(result)
    create_markdown_artifact(markdown=as_markdown(result), key="review-export", description=said)
    return Completed(name="NothingToAsk" if result.folder is None else "Exported", message=said)
