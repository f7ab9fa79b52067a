"""Gathers what is known about a golden set and assesses it: plain functions, no orchestration.

Decides where each thing is read: the policy's margins, the dates of versions (Git's history of
`golden.digest.json`), stored answers (evidence folders), the ledger of uses (the registry), the
sample of traffic. What a reading means is `assay.golden_health`'s.
"""

import math
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from assay import evidence
from assay.adapters.golden_dvc import DvcGoldenSource
from assay.adapters.registry_mlflow import MlflowRegistry
from assay.documents import parse_json, read_jsonl
from assay.errors import ArtifactError, ConfigError
from assay.golden_frozen import DIGEST_FILE
from assay.golden_health.answers import ModelAnswers
from assay.golden_health.assess import Known, assess
from assay.golden_health.health import Health
from assay.golden_health.provenance import Provenance
from assay.golden_health.rules import load_rules
from assay.golden_health.support import Demand
from assay.golden_health.traffic import read_traffic
from assay.golden_set import GoldenRow, GoldenSet
from assay.policy import Policy, load_policy
from assay.ports import GoldenValidator
from assay.predictions import read_predictions
from assay.records import Prediction, Role
from assay.task import Task
from evaluators import registry
from evaluators.emotion_f1 import EmotionF1
from evaluators.f1_power import LEVEL, REQUANTISED, RETRAINED
from flows.settings import from_environment

_GIT_TIMEOUT_S = 30
_COMMITS = 200

HEALTH_FILE = Path("golden_data/health.yaml")
POLICY_FILE = Path("policy.yaml")
"""Where the rules and the policy are looked for where none is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where to look, beside the set itself; None (or empty) for what is not to be looked at.

    Attributes:
        policy: the policy in force.
        rules: what counts as healthy.
        traffic: a sample of traffic.
        evidence: evidence folders.
        repository: Git repository whose history dates the versions.
        folder: the golden folder in it.
    """

    policy: Path | None = None
    rules: Path | None = None
    traffic: Path | None = None
    evidence: Sequence[Path] = ()
    repository: Path | None = None
    folder: str = "golden_data"


def golden_health(
    golden: GoldenSet,
    task: Task,
    validator: GoldenValidator,
    sources: Sources,
    *,
    uses: int | None = None,
    provenance: Provenance | None = None,
    today: date | None = None,
) -> Health:
    """Returns the health of a golden set.

    Args:
        golden: the set.
        task: whose labels it must hold.
        validator: of its structure.
        sources: where to look beside the set.
        uses: gates that used this version of it; None where the ledger was not asked.
        provenance: who published it; None where nobody looked.
        today: the day of the check; the clock's, UTC, if None.

    Raises:
        ConfigError: a file or folder named in `sources` is not what it must be.
        EvaluatorError: the structure could not be checked.
    """
    rules = load_rules(sources.rules)
    traffic = None if sources.traffic is None else read_traffic(sources.traffic)
    answers = stored_answers(golden, sources.evidence)
    known = Known(
        structure=validator.check(golden, task.labels),
        today=today or datetime.now(UTC).date(),
        demand=_demand(sources.policy, task),
        uses=uses,
        dates=_dates(sources),
        models=answers,
        probabilities=[_probabilities(one.answers) for one in answers],
        traffic=traffic,
        provenance=provenance,
    )
    return assess(golden, task.labels, known, rules)


def _demand(path: Path | None, task: Task) -> Demand | None:
    return None if path is None else demand_of(load_policy(path), task)


def demand_of(policy: Policy, task: Task) -> Demand | None:
    """Returns what a policy asks of each class; None where it compares no F1 by class."""
    for evaluator in registry.build(policy, task):
        if isinstance(evaluator, EmotionF1):
            deciding = [label for label in task.labels if label not in evaluator.advisory]
            return Demand(
                margins={x: evaluator.margins.get(x, evaluator.margin) for x in deciding},
                minimum=evaluator.minimum_support,
                alpha=policy.alpha,
                tests=1 + len(deciding) + len(evaluator.slices),
                few=REQUANTISED,
                many=RETRAINED,
                level=LEVEL,
            )
    return None


def stored_answers(golden: GoldenSet, folders: Sequence[Path]) -> list[ModelAnswers]:
    """Reads what models answered to cases that are still as they were asked.

    The answers of one model in several folders count once, the last folder's; a model is its
    artifact's digest.

    Raises:
        ConfigError: a folder is no evidence, or was changed after it was sealed: which says
            nothing about the golden set.
    """
    current = {case.id: (case.text_sha256, case.label) for case in golden.cases}
    found: dict[str, ModelAnswers] = {}
    for folder in folders:
        _check_seal(folder)
        index = folder / "golden_index.jsonl"
        if not index.is_file():
            continue  # a gate that was refused before any model was asked
        unchanged = {
            row.id
            for _, row in read_jsonl(index, GoldenRow)
            if current.get(row.id) == (row.identity(), row.label)
        }
        context = evidence.read_context(folder / "run.json")
        for role, ref in (
            (Role.CANDIDATE, context.candidate),
            (Role.PRODUCTION, context.production),
        ):
            path = folder / role.value / "predictions.jsonl"
            if ref is not None and path.is_file():
                answers = _first_answers(read_predictions(path), unchanged)
                if answers:
                    name = f"{ref.model} {ref.version}"
                    found[ref.digest] = ModelAnswers(model=name, answers=answers)
    return list(found.values())


def _check_seal(folder: Path) -> None:
    try:
        evidence.check_seal(folder)
    except ArtifactError as error:  # not of what is checked here: it must not look like a finding
        raise ConfigError(f"--evidence: {error}") from error


def _first_answers(rows: Sequence[Prediction], cases: set[str]) -> dict[str, Prediction]:
    return {row.case_id: row for row in rows if row.repeat == 0 and row.case_id in cases}


def _probabilities(answers: Mapping[str, Prediction]) -> dict[str, dict[str, float]]:
    return {
        case: {label: math.exp(min(value, 0.0)) for label, value in one.label_logprobs.items()}
        for case, one in answers.items()
        if one.label_logprobs
    }


def _dates(sources: Sources) -> dict[str, date]:
    if sources.repository is None:
        return {}
    return version_dates(sources.repository, sources.folder)


def version_dates(repository: Path, folder: str = "golden_data") -> dict[str, date]:
    """Returns the day on which each version of the set was first committed.

    What Git does not know (no repository, no history) is absent: a date is never guessed.
    """
    path = f"{folder}/{DIGEST_FILE}"
    log = _git(repository, "log", f"-{_COMMITS}", "--format=%H %cI", "--", path)
    found: dict[str, date] = {}
    for line in log.splitlines():
        commit, _, stamp = line.partition(" ")
        text = _git(repository, "show", f"{commit}:./{path}")
        try:
            version = parse_json(text, path)["version"]
            day = datetime.fromisoformat(stamp).astimezone(UTC).date()
        except (ConfigError, KeyError, TypeError, ValueError):
            continue
        found[str(version)] = min(day, found.get(str(version), day))
    return found


def _git(repository: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, no shell
            ["git", "-C", str(repository), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", errors="replace") if done.returncode == 0 else ""


def provenance_of(source: DvcGoldenSource, revision: str | None) -> Provenance:
    """Returns who published a set, or why it may not judge.

    Raises:
        ConfigError: there is no such set, or its files cannot be read.
    """
    try:
        return Provenance(stated=source.manifest(revision))
    except ArtifactError as error:
        return Provenance(fault=str(error))


def ledger_uses(model: str, digest: str) -> int:
    """Returns how many valid gates of a model used a version of the set, from the registry.

    Raises:
        InfrastructureError: the registry cannot be reached.
    """
    settings = from_environment()
    return MlflowRegistry(settings.tracking_uri, settings.locks).uses(model, digest)
