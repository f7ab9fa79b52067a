"""What comes after the judgement: evidence on disk, the record in MLflow, and then the alias.

::

    judged ─▶ evidence sealed, signed ─▶ recorded ─▶ promoting ─▶ alias moved ─▶ settled

Decides the order: evidence first, promotion last, each on the disk before the next begins, so that
a kill in between leaves an unmoved alias and everything needed to go on. Whether a verdict may move
`production` is `promotion`'s and the registry's.
"""

import platform
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version as installed_version
from pathlib import Path

from assay import digests, evidence
from assay.artifact import RELEASE
from assay.bill_of_materials import write_bill
from assay.errors import ArtifactError, InfrastructureError
from assay.policy import Policy
from assay.ports import GateRecord
from assay.records import (
    PromotionOutcome,
    RegisteredVersion,
    Role,
    RunContext,
    SettingsMove,
    Verdict,
    VerdictKind,
)
from assay.succession import released_sequence
from assay.verdict import verdict_bytes
from assay.verdict_document import ArtifactDocument
from evaluators.judgement import Judgement, RawAnswers
from flows import teardown
from flows.gathering import Baseline, Ports
from flows.journal import (
    Finished,
    Journal,
    Promoting,
    Recorded,
    RegisteredDocument,
    Sealed,
    SettingsDocument,
    Settled,
    sync_tree,
)
from flows.measure import Measured
from flows.promotion import Promotion
from flows.request import Documents, GateRequest
from flows.steps import Steps

TOOLS = ("assay-gate", "mlflow", "prefect", "dvc", "numpy", "scipy", "scikit-learn")
SEALS = "seals"
LOCK = Path(__file__).parents[1] / "requirements.lock"
"""What this gate was installed from, where it runs from its repository."""
"""Folder of what vouches for the artifacts, kept from their verification."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """What a gate leaves behind.

    `recorded_as` is the registry's run id; `reused` says that the verdict is an earlier run's,
    returned because nothing that determines it has changed.
    """

    verdict: Verdict
    evidence_dir: Path
    recorded_as: str | None
    promotion: PromotionOutcome | None
    reused: bool = False

    @property
    def not_promoted(self) -> str | None:
        """Why the candidate of a promote is not in production after all; None where it is.

        What answers at a URL has no version that an alias could name: nothing was to be promoted.
        """
        candidate, outcome = self.verdict.context.candidate, self.promotion
        engine = self.verdict.context.engine
        if self.verdict.verdict is not VerdictKind.PROMOTE or candidate is None:
            return None
        if outcome is None or outcome.moved:
            return None
        if engine is not None and engine.backend == "endpoint":
            return None
        held = outcome.production
        in_production = held is not None and held.digest == candidate.digest
        return None if in_production else outcome.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """The steps between the judgement of one run and its record."""

    request: GateRequest
    documents: Documents
    ports: Ports
    steps: Steps
    context: RunContext
    folder: Path
    judgement: Judgement
    baseline: Baseline | None
    measured: Measured | None
    ledger_key: Mapping[str, str]
    journal: Journal
    settings: SettingsMove | None = None

    def run(self) -> Recorded | None:
        """Writes the evidence and records the run.

        Returns:
            What the registry holds; None where the run got not far enough to be recorded.

        Raises:
            ArtifactError: sealed evidence was changed since.
            InfrastructureError: the evidence is written, but could not be recorded; nothing moved.
        """
        sealed = self.journal.last(Sealed)
        if sealed is None:
            self.steps.run("write the evidence", self._write)
            seal = digests.of_file(self.folder / evidence.SUMS)
            self.journal.append(Sealed(folder=str(self.folder), seal=seal))
        else:
            _check_sealed(sealed)
        if self.baseline is None:
            return None
        recorded = Recorded(
            run=self._recorded(self.baseline),
            evidence=str(self.folder),
            reused=False,
            may_promote=True,
            settings=settings_document(self.settings),
        )
        self.journal.append(recorded)
        return recorded

    def _write(self) -> None:
        self._clear()
        for name, text in self.documents.texts.items():
            (self.folder / f"{name}.yaml").write_bytes(text)
        evidence.write_json(self.folder / "run.json", evidence.context_to_json(self.context))
        if self.baseline is not None:
            golden = self.baseline.golden
            evidence.write_indexes(self.folder, golden.cases, self.baseline.probes)
        for name, answers in self._answers().items():
            evidence.write_answers(
                self.folder / name,
                predictions=answers.predictions,
                probe_answers=answers.probe_answers,
                latency=answers.latency,
                engine=answers.engine,
                latency_again=answers.latency_again,
            )
        self._write_what_was_kept()
        write_bill(
            self.folder,
            context=self.context,
            golden=None if self.baseline is None else self.baseline.golden,
            seals=self.folder / SEALS,
            lock=LOCK if LOCK.is_file() else None,
        )
        (self.folder / "verdict.json").write_bytes(verdict_bytes(self.judgement.verdict))
        evidence.write_json(self.folder / "timings.json", self.steps.timings_s)
        from assay.report import write_report  # plots are slow to import

        write_report(self.folder / "report.html", self.judgement.verdict, self.judgement.tables)
        evidence.seal(self.folder)
        self.ports.notary.sign(
            self.folder, self.judgement.verdict, self.documents.policy, self.request.change
        )
        sync_tree(self.folder)

    def _clear(self) -> None:
        """Makes the folder, or empties it of what a killed attempt of this very run left there.

        When the run was opened, the folder was new or empty; it has not been sealed since.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _write_what_was_kept(self) -> None:
        """Adds what vouches for the artifacts, and what was thrown away."""
        kept, told = self.journal.folder / SEALS, self.journal.folder / teardown.FILE
        if kept.is_dir():
            shutil.copytree(kept, self.folder / SEALS)
        if told.is_file():
            shutil.copyfile(told, self.folder / teardown.FILE)

    def _answers(self) -> dict[str, RawAnswers]:
        if self.measured is None:
            return {}
        found = {role.value: answers for role, answers in self.measured.answers.items()}
        anchor = self.measured.anchor
        return found if anchor is None else found | {evidence.ANCHOR: anchor}

    def _recorded(self, baseline: Baseline) -> str:
        record = self._record(baseline)
        try:
            return self.steps.run(
                "record in MLflow", lambda: self.ports.registry.record(record), retries=2
            )
        except InfrastructureError as error:
            raise InfrastructureError(
                f"the verdict is {self.judgement.verdict.verdict.value!r} and its evidence lies in "
                f"{self.folder}, but it could not be recorded, so nothing was promoted: {error}; "
                f"`assay gate --resume {self.context.run_id}` goes on from here"
            ) from error

    def _record(self, baseline: Baseline) -> GateRecord:
        request, candidate = self.request, self.context.candidate
        # Settings say nothing about a version: what its own gate found stays on record.
        about_model = self.context.production_engine is None
        registrable = candidate is not None and request.backend != "endpoint" and about_model
        answers = self.measured.answers if self.measured else {}
        return GateRecord(
            model=request.model,
            version=request.version,
            verdict=self.judgement.verdict,
            context=self.context,
            evidence_dir=self.folder,
            predictions={role: one.predictions for role, one in answers.items()},
            golden=baseline.golden,
            source=f"trusted-store://{request.model}/{request.version}@{candidate.digest}"
            if candidate is not None and registrable
            else None,
            ledger_key=self.ledger_key,
            sequence=released_sequence(self.folder / SEALS / Role.CANDIDATE.value / RELEASE),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The alias, as far as a run's recorded verdict may move it."""

    verdict: Verdict
    recorded: Recorded
    request: GateRequest
    policy: Policy
    golden: str
    production: RegisteredVersion | None
    ports: Ports
    steps: Steps
    journal: Journal

    def run(self) -> PromotionOutcome | None:
        """Promotes where the verdict and the registry allow it; None where nothing was to be moved.

        Raises:
            InfrastructureError: the registry cannot be reached; the run can be continued.
        """
        if not self.recorded.may_promote:
            return None
        candidate, stated = self.verdict.context.candidate, self.recorded.settings
        promotion = Promotion(
            verdict=self.verdict,
            folder=Path(self.recorded.evidence),
            policy=self.policy,
            golden=self.golden,
            change=self.request.change,
            production=self.production,
            recorded_as=self.recorded.run,
            settings=None
            if stated is None
            else SettingsMove(to=stated.to, expected=stated.expected),
        )
        if candidate is None or not promotion.is_worth_asking:
            return None
        self.journal.append(
            Promoting(
                candidate=ArtifactDocument(**asdict(candidate)),
                expected=ArtifactDocument(**asdict(expected))
                if (expected := self.verdict.context.production)
                else None,
                gate_run=self.recorded.run,
            )
        )
        outcome = promotion.run(self.ports.registry, self.ports.notary, self.steps)
        if outcome is not None:
            self.journal.append(
                Settled(
                    moved=outcome.moved,
                    reason=outcome.reason,
                    production=registered_document(outcome.production),
                    previous=registered_document(outcome.previous),
                )
            )
        return outcome


def result_of(
    journal: Journal,
    verdict: Verdict,
    recorded: Recorded | None,
    outcome: PromotionOutcome | None,
) -> GateResult:
    """Returns what a run leaves behind; all but telling people is done."""
    sealed = journal.last(Sealed)
    place = recorded.evidence if recorded else (sealed.folder if sealed else "")
    return GateResult(
        verdict=verdict,
        evidence_dir=Path(place),
        recorded_as=recorded.run if recorded else None,
        promotion=outcome,
        reused=recorded.reused if recorded else False,
    )


def finish(journal: Journal, result: GateResult) -> None:
    """Ends a run: nothing is left to do, and what was kept to go on is not needed any more."""
    journal.append(
        Finished(
            verdict=result.verdict.verdict,
            evidence=str(result.evidence_dir),
            recorded_as=result.recorded_as,
            reused=result.reused,
        )
    )
    shutil.rmtree(journal.folder / "measured", ignore_errors=True)


def settings_document(move: SettingsMove | None) -> SettingsDocument | None:
    """Returns a move of engine settings as the journal holds it."""
    return None if move is None else SettingsDocument(to=move.to, expected=move.expected)


def registered_document(version: RegisteredVersion | None) -> RegisteredDocument | None:
    """Returns a registered version as the journal holds it."""
    if version is None:
        return None
    names = RegisteredDocument.model_fields
    return RegisteredDocument(**{name: getattr(version, name) for name in names})


def tool_versions() -> dict[str, str]:
    """Returns the versions of the tools that take part in a verdict."""
    return {"python": platform.python_version()} | {name: installed_version(name) for name in TOOLS}


def _check_sealed(sealed: Sealed) -> None:
    folder = Path(sealed.folder)
    evidence.check_seal(folder)
    found = digests.of_file(folder / evidence.SUMS)
    if found != sealed.seal:
        raise ArtifactError(
            f"{folder}: its seal is {found}, and this run sealed {sealed.seal}; somebody sealed it "
            "anew: find out who, and begin a new run"
        )
