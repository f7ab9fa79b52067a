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
from typing import Any

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
from assay.records import (
    ArtifactRef,
    EngineIdentity,
    LatencySample,
    Prediction,
    Probe,
    PulledArtifact,
    Role,
)
from evaluators.judgement import RawAnswers
from flows.request import Documents
from flows.steps import Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One model to measure: a verified artifact, or a URL somebody else answers at."""

    role: Role
    ref: ArtifactRef
    artifact: PulledArtifact | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything two models said, and the engine they said it on."""

    answers: Mapping[Role, RawAnswers]
    engine: EngineIdentity
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

    def run(self, subjects: Mapping[Role, Subject]) -> Measured:
        """Measures the subjects.

        Raises:
            ArtifactError: an engine refuses a model.
            InfrastructureError: an engine, or the way to it, failed.
        """
        with ExitStack() as stack:
            running = self._start(subjects, stack)
            engine = self._one_engine(running)
            notes: list[str] = []
            asked = {
                role: self._ask(subject, running[role], engine, notes)
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
        return Measured(answers=answers, engine=engine, notes=tuple(notes))

    def _start(
        self, subjects: Mapping[Role, Subject], stack: ExitStack
    ) -> dict[Role, RunningServer]:
        def launch() -> dict[Role, LaunchedServer]:
            return {
                role: stack.enter_context(self.server.launch(self._request(subject)))
                for role, subject in subjects.items()
            }

        launched = self.steps.run("launch the engines", launch)
        return {
            role: self.steps.run(
                f"wait for {role.value}'s engine",
                lambda server=server, role=role: server.wait_ready(  # type: ignore[misc]
                    lambda line: self.progress(f"{role.value}: {line}")
                ),
            )
            for role, server in launched.items()
        }

    def _request(self, subject: Subject) -> ServeRequest:
        task = self.documents.task
        return ServeRequest(
            artifact=subject.artifact,
            url=subject.url,
            name=subject.ref.model,
            role=subject.role,
            profile=self.documents.profile,
            profile_name=self.profile_name,
            run_id=self.run_id,
            readiness_messages=task.render(task.readiness_text),
            cache_dir=self.cache_dir,
        )

    def _one_engine(self, running: Mapping[Role, RunningServer]) -> EngineIdentity:
        identities = {server.identity for server in running.values()}
        if len(identities) > 1:
            described = "; ".join(f"{role.value}: {s.identity}" for role, s in running.items())
            raise InfrastructureError(
                f"the two models ran on different engines ({described}), so their answers cannot "
                "be compared; serve both with the same image, arguments and kind of machine"
            )
        return identities.pop()

    def _ask(
        self, subject: Subject, server: RunningServer, engine: EngineIdentity, notes: list[str]
    ) -> tuple[tuple[Prediction, ...], tuple[Prediction, ...]]:
        folder = self.answers_dir / self._answers_key(subject, engine)
        limits = AskLimits(
            concurrency=self.documents.profile.concurrency,
            request_timeout_s=self.documents.profile.request_timeout_s,
        )
        common: dict[str, Any] = {
            "limits": limits,
            "run_id": self.run_id,
            "progress": self.progress,
        }
        name = subject.role.value
        paid = asking.count_answers(folder / "predictions.jsonl")
        if paid:
            notes.append(
                f"{name}: {paid} of {self.golden.size} answers were taken from an earlier run with "
                "the same artifact, golden set, task and engine"
            )
        predictions = self.steps.run(
            f"ask {name}",
            lambda: asking.ask_golden(
                self.client,
                server.endpoint,
                self.documents.task,
                self.golden,
                folder / "predictions.jsonl",
                **common,
            ),
            retries=1,
        )
        probe_answers = (
            self.steps.run(
                f"probe {name}",
                lambda: asking.ask_probes(
                    self.client,
                    server.endpoint,
                    self.documents.task,
                    self.probes,
                    folder / "probe_answers.jsonl",
                    **common,
                ),
                retries=1,
            )
            if self.probes
            else ()
        )
        return predictions, probe_answers

    def _answers_key(self, subject: Subject, engine: EngineIdentity) -> str:
        determining = {
            "artifact": subject.ref.digest,
            "golden": self.golden.digest,
            "probes": golden_digest(self.probes),
            "task": self.documents.task.digest,
            "engine": asdict(engine) | {"arguments": list(engine.arguments)},
        }
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
