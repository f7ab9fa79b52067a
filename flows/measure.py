"""Serves both models in throwaway engines and asks them everything: answers, probes, latency.

Decides what is asked, in what order, and which answers already paid for are used again; leaves
starting engines to `engines` and sending questions to the adapters. Both engines are up side by
side where memory allows, are asked one after the other (each saturates the machine), and are timed
in interleaved blocks (`timing`).

Answers live in a folder named by the digest of everything that determines them (artifact, golden
set, probes, task, engine). A gate that was killed therefore resumes, and production's answers are
used again by the next gate exactly when nothing that determines them has changed.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from assay import asking, digests
from assay.golden_set import GoldenSet, golden_digest
from assay.placement import Placement, Tenant, place
from assay.ports import (
    AskLimits,
    ChatClient,
    EngineProbes,
    LoadGenerator,
    ModelServer,
    Progress,
    RunningServer,
    ServeRequest,
)
from assay.predictions import final_answers, read_predictions
from assay.records import (
    ArtifactRef,
    EngineIdentity,
    Prediction,
    Probe,
    PulledArtifact,
    Role,
)
from assay.serving_profile import Profile
from evaluators.judgement import RawAnswers
from flows.engines import Engines, one_engine, wait_ready
from flows.request import Documents
from flows.steps import Steps
from flows.timing import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One model to measure: a verified artifact, or a URL somebody else answers at.

    The anchor takes production's role (it is what the candidate is compared with) under an `alias`.
    `profile` is what the model is served with where that is not the request's: production's own
    settings, where the verdict is about settings.
    """

    role: Role
    ref: ArtifactRef
    artifact: PulledArtifact | None = None
    url: str | None = None
    alias: str | None = None
    profile: Profile | None = None

    @property
    def name(self) -> str:
        """What people call it: candidate, production, or anchor."""
        return self.alias or self.role.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything two models said, and the engine they said it on.

    `anchor` holds the golden answers of the release that the policy pins, where it pins one;
    `production_engine` is production's, where it has settings of its own.
    """

    answers: Mapping[Role, RawAnswers]
    engine: EngineIdentity
    production_engine: EngineIdentity | None = None
    anchor: RawAnswers | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What measuring needs from the outside: ports, places and names."""

    server: ModelServer
    client: ChatClient
    documents: Documents
    profile_name: str
    golden: GoldenSet
    probes: tuple[Probe, ...]
    run_id: str
    answers_dir: Path
    cache_dir: Path
    seed: int
    steps: Steps
    progress: Progress
    logs: dict[Role, str] = field(default_factory=dict)
    engine_probes: EngineProbes | None = None
    free_memory_bytes: Callable[[], int | None] = lambda: None
    generator: LoadGenerator | None = None

    def run(self, subjects: Mapping[Role, Subject], anchor: Subject | None = None) -> Measured:
        """Measures the subjects, and then asks the anchor the golden set.

        Raises:
            ArtifactError: an engine refuses a model.
            InfrastructureError: an engine, or the way to it, failed.
        """
        placement = self._placement(subjects)
        notes = [placement.reason] if placement.alternating else []
        with self._engines(subjects, placement) as engines:
            asked = {}
            for role, subject in subjects.items():
                server = engines.up(role)
                asked[role] = self._ask(subject, server, server.identity, notes)
            loads = self.steps.run(
                "time both, interleaved", lambda: self._timing.run(engines, list(subjects))
            )
        answers = {
            role: RawAnswers(
                predictions=predictions,
                probe_answers=probe_answers,
                latency=loads.samples.get(role, ()),
                engine=loads.engine.get(role, ()),
                latency_again=loads.again if role is Role.PRODUCTION else (),
            )
            for role, (predictions, probe_answers) in asked.items()
        }
        engine = engines.identities[Role.CANDIDATE]
        return Measured(
            answers=answers,
            engine=engine,
            production_engine=None
            if engines.same_settings
            else engines.identities[Role.PRODUCTION],
            anchor=None if anchor is None else self._ask_anchor(anchor, engine, notes),
            notes=tuple(notes),
        )

    def score(self, subject: Subject) -> tuple[str, ...]:
        """Asks one model everything but the load; the next gate finds its answers.

        Returns:
            Notes about answers that an earlier run had paid for.

        Raises:
            ArtifactError: the engine refuses the model.
            InfrastructureError: the engine, or the way to it, failed.
        """
        notes: list[str] = []
        with self.server.launch(self._request(subject)) as launched:
            server = wait_ready(subject.name, launched, self.steps, self.progress)
            self._ask(subject, server, server.identity, notes)
        return tuple(notes)

    def _ask_anchor(self, anchor: Subject, engine: EngineIdentity, notes: list[str]) -> RawAnswers:
        """Asks the anchor, unless all its answers on this engine are stored already."""
        stored = self._folder(anchor, engine) / "predictions.jsonl"
        times = self._times(anchor)
        if asking.count_answers(stored, times) == self.golden.size * times:
            notes.append(f"{anchor.name}: all answers were taken from an earlier run")
            kept = final_answers(read_predictions(stored))
            return RawAnswers(predictions=tuple(p for p in kept if p.repeat < times))
        with self.server.launch(self._request(anchor)) as launched:
            server = wait_ready(anchor.name, launched, self.steps, self.progress)
            one_engine({"the candidate": engine, anchor.name: server.identity})
            return RawAnswers(predictions=self._ask_golden(anchor, server, engine))

    def _placement(self, subjects: Mapping[Role, Subject]) -> Placement:
        """Decides whether the engines are up side by side; URLs answer whatever we decide."""
        tenants = [
            Tenant(
                profile=subject.profile or self.documents.profile,
                model_bytes=subject.artifact.size_bytes,
            )
            for subject in subjects.values()
            if subject.artifact is not None
        ]
        placement = place(tenants, self.free_memory_bytes())
        self.progress(placement.reason)
        return placement

    def _engines(self, subjects: Mapping[Role, Subject], placement: Placement) -> Engines:
        return Engines(
            server=self.server,
            requests={role: self._request(subject) for role, subject in subjects.items()},
            same_settings=all(subject.profile is None for subject in subjects.values()),
            alternating=placement.alternating,
            probes=self.engine_probes,
            steps=self.steps,
            progress=self.progress,
            logs=self.logs,
        )

    @property
    def _timing(self) -> Timing:
        return Timing(
            client=self.client,
            documents=self.documents,
            golden=self.golden,
            run_id=self.run_id,
            seed=self.seed,
            progress=self.progress,
            generator=self.generator,
        )

    def _request(self, subject: Subject) -> ServeRequest:
        task = self.documents.task
        return ServeRequest(
            artifact=subject.artifact,
            url=subject.url,
            name=subject.ref.model,
            role=subject.role,
            profile=subject.profile or self.documents.profile,
            profile_name=self.profile_name,
            run_id=self.run_id,
            readiness_messages=task.render(task.readiness_text),
            cache_dir=self.cache_dir,
        )

    def _ask(
        self, subject: Subject, server: RunningServer, engine: EngineIdentity, notes: list[str]
    ) -> tuple[tuple[Prediction, ...], tuple[Prediction, ...]]:
        folder = self._folder(subject, engine)
        times = self._times(subject)
        paid = asking.count_answers(folder / "predictions.jsonl", times)
        if paid:
            notes.append(
                f"{subject.name}: {paid} of {self.golden.size * times} answers were taken from an "
                "earlier run with the same artifact, golden set, task and engine"
            )
        predictions = self._ask_golden(subject, server, engine)
        if not self.probes:
            return predictions, ()
        probe_answers = self.steps.run(
            f"probe {subject.name}",
            lambda: asking.ask_probes(
                self.client,
                server.endpoint,
                self.documents.task,
                self.probes,
                folder / "probe_answers.jsonl",
                limits=self._limits,
                run_id=self.run_id,
                progress=self.progress,
            ),
            retries=1,
        )
        return predictions, probe_answers

    def _ask_golden(
        self, subject: Subject, server: RunningServer, engine: EngineIdentity
    ) -> tuple[Prediction, ...]:
        return self.steps.run(
            f"ask {subject.name}",
            lambda: asking.ask_golden(
                self.client,
                server.endpoint,
                self.documents.task,
                self.golden,
                self._folder(subject, engine) / "predictions.jsonl",
                limits=self._limits,
                run_id=self.run_id,
                progress=self.progress,
                want_logprobs=self._want_logprobs,
                times=self._times(subject),
            ),
            retries=1,
        )

    def _times(self, subject: Subject) -> int:
        """How often it is asked each case; only production itself is asked for its noise floor."""
        policy = self.documents.policy
        return policy.repeats if subject.alias else policy.times_asked(subject.role)

    @property
    def _want_logprobs(self) -> bool:
        return self.documents.wants("calibration")

    @property
    def _limits(self) -> AskLimits:
        profile = self.documents.profile
        return AskLimits(
            concurrency=profile.concurrency, request_timeout_s=profile.request_timeout_s
        )

    def _folder(self, subject: Subject, engine: EngineIdentity) -> Path:
        return self.answers_dir / self._answers_key(subject, engine)

    def _answers_key(self, subject: Subject, engine: EngineIdentity) -> str:
        determining: dict[str, object] = {
            "artifact": subject.ref.digest,
            "golden": self.golden.digest,
            "probes": golden_digest(self.probes),
            "task": self.documents.task.digest,
            "engine": asdict(engine) | {"arguments": list(engine.arguments)},
        }
        if self._want_logprobs:  # answers without them would not do
            determining["label_logprobs"] = True
        if subject.url is not None:  # what answers at a URL may change: never used again
            determining["run"] = self.run_id
        return digests.of_json(determining).removeprefix("sha256:")[:32]
