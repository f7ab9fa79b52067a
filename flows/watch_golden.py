"""The Prefect flow `watch-golden`: looks at the golden set by a schedule, calls when it degrades.

Decides how a look appears in Prefect and nothing about it. It completes when the set is healthy and
fails, by the name `Unhealthy`, when it is not. The event `assay.golden.degraded` is raised once,
when a deciding check fails that did not fail when it was last decided; its payload names the checks
(`broken`), and those of which nothing is known any more (`lost`).
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed, Failed

from assay.adapters.validator_gx import GxValidator
from assay.errors import AssayError, InfrastructureError
from assay.golden_health.health import Health
from assay.golden_health.page import write_page
from assay.task import load_task
from flows.backtest import evidence_folders
from flows.forms import GoldenSet, TaskFile, question
from flows.gate_release import flow_logger
from flows.golden_health import (
    HEALTH_FILE,
    POLICY_FILE,
    Sources,
    golden_health,
    ledger_uses,
    provenance_of,
)
from flows.golden_watch import STATE, Look, as_markdown, look, record
from flows.notices import golden_notice
from flows.notifying import tell
from flows.settings import Settings, from_environment
from flows.wiring import golden_source

DEGRADED = "assay.golden.degraded"


@flow(
    name="watch-golden",
    flow_run_name="watch the golden set",
    persist_result=False,
    description="Looks at the health of the golden set, and raises an event when it degrades.",
)
def watch_golden(
    revision: GoldenSet = None,
    model: Annotated[
        str | None,
        question("Model", "Whose gates count as uses of the set; empty: uses are not known."),
    ] = None,
    traffic: Annotated[
        str | None,
        question(
            "Traffic file",
            "A sample of requests (JSONL, Parquet); empty: drift is not looked at.",
        ),
    ] = None,
    task: TaskFile = "task.yaml",
) -> State[Any]:
    """Looks at the golden set.

    Returns:
        Completed when it is healthy; Failed, with the reason, when it is not or cannot be read.
    """
    settings = from_environment()
    try:
        health = health_now(settings, revision=revision, model=model, traffic=traffic, task=task)
        seen = look(health, settings.home)
    except AssayError as error:
        return Failed(name=type(error).__name__, message=str(error))
    create_markdown_artifact(
        markdown=as_markdown(seen), key="golden-health", description=health.summary
    )
    degraded = announce(seen)
    record(seen, settings.home)
    if degraded:
        tell(golden_notice(seen), settings, flow_logger().info)
    write_page(settings.home / STATE.with_name("report.html"), health)
    if health.healthy:
        return Completed(name="Healthy", message=health.summary)
    return Failed(name="Unhealthy", message=health.summary)


def health_now(
    settings: Settings,
    *,
    revision: str | None,
    model: str | None,
    traffic: str | None,
    task: str = "task.yaml",
) -> Health:
    """Returns today's health, from the working folder and this machine's evidence.

    Where the registry cannot be reached the uses are unknown, and everything else is looked at. A
    set whose manifest is refused is looked at, too: that it is refused is the finding.
    """
    asked = load_task(Path(task))
    source = golden_source(settings)
    golden = replace(source, trust=None).load(revision, asked.labels)
    uses = None
    if model is not None:
        try:
            uses = ledger_uses(model, golden.digest)
        except InfrastructureError as error:
            flow_logger().warning("the uses of the set are not known: %s", error)
    sources = Sources(
        policy=POLICY_FILE if POLICY_FILE.is_file() else None,
        rules=HEALTH_FILE if HEALTH_FILE.is_file() else None,
        traffic=None if traffic is None else Path(traffic),
        evidence=tuple(evidence_folders(settings.reports)),
        repository=Path.cwd(),
    )
    return golden_health(
        golden,
        asked,
        GxValidator(),
        sources,
        uses=uses,
        provenance=provenance_of(source, revision),
    )


def announce(seen: Look) -> bool:
    """Raises the event where a look found the set degraded; returns whether it did."""
    if not seen.change.degraded:
        return False
    emit_event(
        event=DEGRADED,
        resource={
            "prefect.resource.id": "assay.golden",
            "assay.golden.digest": seen.health.digest,
        },
        payload={
            **seen.change.to_json(),
            "summary": seen.health.summary,
            "reasons": {
                check.name: check.reason
                for check in seen.health.checks
                if check.name in seen.change.broken
            },
        },
    )
    return True
