"""Serves both models in throwaway engines and asks them everything: answers, probes, latency.

Decides what is asked, in what order, and which answers already paid for are used again; leaves
starting engines and sending questions to the adapters. Both engines start side by side, are asked
one after the other (each saturates the machine), and are timed in interleaved blocks.

Answers live in a folder named by the digest of everything that determines them (artifact, golden
set, probes, task, engine). A gate that was killed therefore resumes, and production's answers are
used again by the next gate exactly when nothing that determines them has changed.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from assay import asking, digests
from assay.errors import ConfigError, InfrastructureError
from assay.golden_set import GoldenSet, golden_digest
from assay.interleaving import interleaved_load
from assay.ports import (
    AskLimits,
    ChatClient,
    LaunchedServer,
    ModelServer,
    Progress,
    RunningServer,
    ServeRequest,
)
from assay.predictions import final_answers, read_predictions
from assay.records import (
    ArtifactRef,
    EngineIdentity,
    LatencySample,
    Prediction,
    Probe,
    PulledArtifact,
    Role,
)
from assay.serving_profile import Profile
from evaluators.judgement import RawAnswers
from flows.request import Documents
from flows.steps import Steps


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

    def run(self, subjects: Mapping[Role, Subject], anchor: Subject | None = None) -> Measured:
        """Measures the subjects, and then asks the anchor the golden set.

        Raises:
            ArtifactError: an engine refuses a model.
            InfrastructureError: an engine, or the way to it, failed.
        """
        with ExitStack() as stack:
            running = self._start(subjects, stack)
            engine = running[Role.CANDIDATE].identity
            found = {role.value: server.identity for role, server in running.items()}
            apart = any(subject.profile is not None for subject in subjects.values())
            if apart:
                self._one_machine(found)
            else:
                self._one_engine(found)
            notes: list[str] = []
            asked = {
                role: self._ask(subject, running[role], running[role].identity, notes)
                for role, subject in subjects.items()
            }
            latency = self._time(running)
            answers = {
                role: RawAnswers(
                    predictions=predictions,
                    probe_answers=probe_answers,
                    latency=latency.get(role, ()),
                )
                for role, (predictions, probe_answers) in asked.items()
            }
            for role, server in running.items():
                self.logs[role] = server.log_tail()
            self.progress("stopping the engines")
        return Measured(
            answers=answers,
            engine=engine,
            production_engine=running[Role.PRODUCTION].identity if apart else None,
            anchor=None if anchor is None else self._ask_anchor(anchor, engine, notes),
            notes=tuple(notes),
        )

    def _ask_anchor(self, anchor: Subject, engine: EngineIdentity, notes: list[str]) -> RawAnswers:
        """Asks the anchor, unless all its answers on this engine are stored already."""
        stored = self._folder(anchor, engine) / "predictions.jsonl"
        times = self._times(anchor)
        if asking.count_answers(stored, times) == self.golden.size * times:
            notes.append(f"{anchor.name}: all answers were taken from an earlier run")
            kept = final_answers(read_predictions(stored))
            return RawAnswers(predictions=tuple(p for p in kept if p.repeat < times))
        with self.server.launch(self._request(anchor)) as launched:
            server = self._wait(anchor.name, launched)
            self._one_engine({"the candidate": engine, anchor.name: server.identity})
            return RawAnswers(predictions=self._ask_golden(anchor, server, engine))

    def _start(
        self, subjects: Mapping[Role, Subject], stack: ExitStack
    ) -> dict[Role, RunningServer]:
        def launch() -> dict[Role, LaunchedServer]:
            return {
                role: stack.enter_context(self.server.launch(self._request(subject)))
                for role, subject in subjects.items()
            }

        launched = self.steps.run("launch the engines", launch)
        return {role: self._wait(role.value, server) for role, server in launched.items()}

    def _wait(self, name: str, launched: LaunchedServer) -> RunningServer:
        return self.steps.run(
            f"wait for {name}'s engine",
            lambda: launched.wait_ready(lambda line: self.progress(f"{name}: {line}")),
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

    def _one_engine(self, found: Mapping[str, EngineIdentity]) -> EngineIdentity:
        identities = set(found.values())
        if len(identities) > 1:
            described = "; ".join(f"{name}: {identity}" for name, identity in found.items())
            raise InfrastructureError(
                f"the models ran on different engines ({described}), so their answers cannot be "
                "compared; serve all with the same image, arguments and kind of machine"
            )
        return identities.pop()

    def _one_machine(self, found: Mapping[str, EngineIdentity]) -> None:
        """Makes sure that two settings ran on one kind of machine: nothing else may differ."""
        if len({(one.backend, one.engine, one.hardware) for one in found.values()}) > 1:
            described = "; ".join(f"{name}: {identity}" for name, identity in found.items())
            raise InfrastructureError(
                f"the two settings ran on different machines ({described}), so their times cannot "
                "be compared; serve both on the same kind of machine, by the same back end"
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

    def _time(
        self, running: Mapping[Role, RunningServer]
    ) -> Mapping[Role, tuple[LatencySample, ...]]:
        plan = next((e for e in self.documents.evaluators if e.name == "latency"), None)
        if plan is None:
            return {}
        blocks, per_block = getattr(plan, "blocks", None), getattr(plan, "per_block", None)
        if not isinstance(blocks, int) or not isinstance(per_block, int):
            raise ConfigError("policy.yaml: latency: blocks and per_block must be whole numbers")
        return self.steps.run(
            "time both, interleaved",
            lambda: interleaved_load(
                self.client,
                {role: server.endpoint for role, server in running.items()},
                self.documents.task,
                self.golden.cases,
                blocks=blocks,
                per_block=per_block,
                limits=AskLimits(
                    concurrency=getattr(plan, "concurrency", 4),
                    request_timeout_s=self.documents.profile.request_timeout_s,
                ),
                seed=self.seed,
                run_id=self.run_id,
                progress=self.progress,
            ),
        )
