"""The same question asked before: what makes two gates the same, and where the answer is.

Decides under which key a verdict is found again, and that one which is found stands: it is not
measured anew. A promote whose alias never moved (its gate was killed in between, or waited for
people) is promoted by whoever asks the same question next.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.ports import Progress
from assay.records import RunContext, Verdict
from assay.verdict_document import verdict_from_json
from flows import settings_change
from flows.gathering import Baseline, Gathering, Ports
from flows.promotion import evidence_of
from flows.request import Documents, GateRequest
from flows.settings_change import SettingsChange


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedBefore:
    """A recorded verdict: the registry's run, the folder of its evidence, and what it may move."""

    run: str
    verdict: Verdict
    evidence: Path
    may_promote: bool


def key(
    request: GateRequest,
    documents: Documents,
    context: RunContext,
    baseline: Baseline,
    change: SettingsChange | None,
) -> dict[str, str]:
    """Returns under what a verdict is recorded, and found again."""
    candidate, production = context.candidate, context.production
    own = {} if change is None else {settings_change.EVIDENCE: change.digest}
    return own | {
        "model": request.model,
        "candidate": candidate.digest if candidate else "none",
        "production": production.digest if production else "none",
        "golden": baseline.golden.digest,
        "policy": documents.policy.digest,
        "task": documents.task.digest,
        "serving": documents.serving.digest,
    }


def find(
    wanted: Mapping[str, str],
    *,
    gathering: Gathering,
    ports: Ports,
    change: SettingsChange | None,
    progress: Progress,
) -> AskedBefore | None:
    """Returns the recorded verdict of the same question, if there is one.

    Raises:
        UnmeasurableError: the registry does not answer.
    """
    if gathering.request.backend == "endpoint":  # what answers at a URL has no lasting identity
        return None
    promoted = wanted["candidate"] == wanted["production"] and change is None
    if promoted:  # by which verdict?
        wanted = {name: value for name, value in wanted.items() if name != "production"}
    found = gathering.measurable(
        "registry",
        "look for a recorded verdict",
        lambda: ports.registry.recorded_verdict(wanted),
        retries=2,
    )
    if found is None:
        return None
    run, document = found
    verdict = verdict_from_json(document, f"MLflow run {run}: verdict.json")
    folder = gathering.measurable(
        "registry",
        "look for its evidence",
        lambda: evidence_of(run, verdict.context.run_id, ports.registry, ports.notary),
        retries=2,
    )
    if not promoted and (why := ports.notary.why_not_reused(folder)):
        progress(f"the verdict of MLflow run {run} is not used again: {why}")
        return None
    progress(f"nothing has changed since MLflow run {run}: its verdict stands")
    return AskedBefore(run=run, verdict=verdict, evidence=folder, may_promote=not promoted)
