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
from pydantic import Field

from assay.errors import AssayError
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
        str | None, Field(description="Evidence folder of a gate; empty: none.")
    ] = None,
    feedback: Annotated[
        list[str] | None, Field(description="Files of requests with signals (JSONL, Parquet).")
    ] = None,
    traffic: Annotated[
        list[str] | None, Field(description="Files of a plain sample of requests.")
    ] = None,
    policy: Annotated[str, Field(description="Budget, shares, signals.")] = "review.yaml",
    task: Annotated[str, Field(description="What the model is asked.")] = "task.yaml",
    golden: Annotated[
        str | None,
        Field(description="Git revision or file of the golden set; empty: the working tree's."),
    ] = None,
    budget: Annotated[int | None, Field(description="Texts; empty: the policy's.")] = None,
    seed: Annotated[int | None, Field(description="Empty: derived from the inputs.")] = None,
    out: Annotated[str | None, Field(description="Empty: `reviews` in Assay's home.")] = None,
    push: Annotated[bool, Field(description="Push to the server the policy names.")] = True,
) -> State[Any]:
    """Exports what people should look at next.

    Returns:
        Completed with what was exported, or that nothing was left; Failed, named after the error.
    """
    request = ReviewRequest(
        policy=Path(policy),
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
