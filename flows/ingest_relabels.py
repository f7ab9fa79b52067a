"""The Prefect flow `ingest-relabels`: `run_ingestion`, visible to everybody who watches the set.

Decides how an ingestion looks in Prefect and nothing about it. The flow completes when the proposal
is written and its set is sound, also where rows were quarantined or rejected: the artifact and the
event say how many, and the proposal says which.
"""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed, Failed

from assay.errors import AssayError
from assay.relabelling.proposal import Summary
from flows.forms import TaskFile, question
from flows.gate_release import flow_logger
from flows.relabel_request import IngestOptions, run_ingestion
from flows.settings import from_environment

_TIMEOUT = timedelta(hours=2)


@flow(
    name="ingest-relabels",
    flow_run_name="ingest {export}",
    persist_result=False,
    timeout_seconds=_TIMEOUT.total_seconds(),
    description="Turns people's answers into a proposed golden set, with a report of every row.",
)
def ingest_relabels(
    export: Annotated[
        str,
        question(
            "Export",
            "People's answers: Label Studio JSON, flattened Argilla or JSONL, a file on the "
            "worker's machine.",
        ),
    ],
    golden: Annotated[
        str | None,
        question("Golden file", "The set they are taken into; empty: the working tree's."),
    ] = None,
    policy: Annotated[
        str, question("Rules file", "How answers are read, weighed and taken in (YAML).")
    ] = "relabel.yaml",
    task: TaskFile = "task.yaml",
    out: Annotated[
        str, question("Proposal folder", "Where the proposed set is written.")
    ] = "proposal",
    version: Annotated[
        str | None, question("Version", "Of the cases that are new; empty: the next one.")
    ] = None,
    reviews: Annotated[
        str | None,
        question(
            "Folder of the review exports",
            "They say which text a task's name stands for; empty: `reviews` in Assay's home.",
        ),
    ] = None,
) -> State[Any]:
    """Ingests an export.

    Returns:
        Completed when a sound proposal is written; Failed, with the reason, otherwise.
    """
    log = flow_logger()
    options = IngestOptions(
        export=Path(export),
        golden=Path(golden) if golden else None,
        policy=Path(policy),
        task=Path(task),
        out=Path(out),
        version=version,
        reviews=Path(reviews) if reviews else None,
    )
    try:
        _, summary = run_ingestion(options, from_environment(), log.info)
    except AssayError as error:
        return Failed(name=type(error).__name__, message=str(error))
    create_markdown_artifact(
        markdown=as_markdown(summary), key="ingest-relabels", description=headline(summary)
    )
    if not summary.sound:
        return Failed(name="NotSound", message=headline(summary))
    emit_event(
        event="assay.golden.proposed",
        resource={"prefect.resource.id": "assay.golden", "assay.version": summary.version},
        payload={"digest": summary.golden_digest, "rows": summary.rows, "changes": summary.changes},
    )
    return Completed(name="Proposed", message=headline(summary))


def headline(summary: Summary) -> str:
    """Says in a sentence what an ingestion came to."""
    told = ", ".join(f"{count} {status}" for status, count in summary.rows.items())
    sound = "" if summary.sound else "; the resulting set does not hold its checks"
    return f"{summary.export.rows} rows: {told}; {summary.cases} cases{sound}"


def as_markdown(summary: Summary) -> str:
    """Returns the summary as a page."""
    reasons = [f"| {reason} | {count} |" for reason, count in summary.reasons.items()]
    broken = [f"- {one.reason}" for one in summary.checks if one.status != "passed"]
    alpha = summary.agreement.alpha
    said = "not defined" if alpha is None else f"{alpha:.3f}"
    return "\n".join(
        [
            f"# {headline(summary)}",
            "",
            f"Krippendorff's alpha: {said} over {summary.agreement.units} texts.",
            "",
            "| what became of them | texts |",
            "|---|---|",
            *reasons,
            "",
            *broken,
        ]
    )
