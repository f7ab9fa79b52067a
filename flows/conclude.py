"""What comes after the verdict: evidence on disk, the record in MLflow, and then the alias.

Decides the order (evidence first, promotion last, so that a kill in between leaves an unmoved alias
and everything needed to go on) and whether a verdict may move `production` at all.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path

from assay import evidence
from assay.errors import InfrastructureError
from assay.ports import GateRecord
from assay.records import PromotionOutcome, RunContext, SettingsMove, Verdict
from assay.verdict import verdict_bytes
from evaluators.judgement import Judgement, RawAnswers
from flows.gathering import Baseline, Ports
from flows.measure import Measured
from flows.promotion import Promotion
from flows.request import Documents, GateRequest
from flows.steps import Steps

TOOLS = ("assay-gate", "mlflow", "prefect", "dvc", "numpy", "scipy", "scikit-learn")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """The steps after the judgement of one run."""

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
    settings: SettingsMove | None = None

    def run(self) -> GateResult:
        """Writes, records and, if the verdict allows it, promotes.

        Raises:
            InfrastructureError: the evidence is written, but could not be recorded; nothing moved.
        """
        self.steps.run("write the evidence", self._write)
        recorded_as, promotion = None, None
        if self.baseline is not None:
            recorded_as = self._recorded(self.baseline)
            promotion = Promotion(
                verdict=self.judgement.verdict,
                folder=self.folder,
                policy=self.documents.policy,
                golden=self.baseline.golden.digest,
                change=self.request.change,
                production=self.baseline.production,
                recorded_as=recorded_as,
                settings=self.settings,
            ).run(self.ports.registry, self.ports.notary, self.steps)
        return GateResult(
            verdict=self.judgement.verdict,
            evidence_dir=self.folder,
            recorded_as=recorded_as,
            promotion=promotion,
        )

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
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
        (self.folder / "verdict.json").write_bytes(verdict_bytes(self.judgement.verdict))
        evidence.write_json(self.folder / "timings.json", self.steps.timings_s)
        from assay.report import write_report  # plots are slow to import

        write_report(self.folder / "report.html", self.judgement.verdict, self.judgement.tables)
        evidence.seal(self.folder)
        self.ports.notary.sign(
            self.folder, self.judgement.verdict, self.documents.policy, self.request.change
        )

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
                f"{self.folder}, but it could not be recorded, so nothing was promoted: {error}"
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
        )


def tool_versions() -> dict[str, str]:
    """Returns the versions of the tools that take part in a verdict."""
    return {"python": platform.python_version()} | {name: installed_version(name) for name in TOOLS}
