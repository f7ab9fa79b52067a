"""Gathers what a gate compares: the golden set, production, and verified copies of both models.

Decides what makes a run unmeasurable before anything is served (a golden set that fails its checks,
a baseline that is not what is deployed, a registry or store that does not answer); leaves serving
and asking to `measure`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from assay import digests
from assay.adapters.in_memory_watch import Watches
from assay.errors import ArtifactError, ConfigError, InfrastructureError
from assay.golden_set import GoldenSet
from assay.ports import (
    ArtifactStore,
    ChatClient,
    EngineProbes,
    GateWatch,
    GoldenSource,
    GoldenValidator,
    LoadGenerator,
    ModelServer,
    Registry,
)
from assay.records import (
    ArtifactRef,
    FindingStatus,
    Probe,
    Problem,
    PulledArtifact,
    RegisteredVersion,
    Role,
)
from assay.succession import check_succession
from flows.measure import Subject
from flows.notary import Notary
from flows.request import Documents, GateRequest
from flows.steps import Steps

T = TypeVar("T")

NEEDS_PROBES = ("toxicity", "injection")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The adapters one gate works with; `flows.wiring` picks them.

    `engine_probes` watch the engines under load; None where nothing does. `free_memory_bytes` tells
    what engines of this machine may still have; None where they are not on this machine.
    `generator` sends open loops. `watch` is told what the gate does; left out, nobody is.
    """

    store: ArtifactStore
    server: ModelServer
    backend: str
    client: ChatClient
    golden: GoldenSource
    validator: GoldenValidator
    registry: Registry
    notary: Notary
    engine_probes: EngineProbes | None = None
    free_memory_bytes: Callable[[], int | None] = lambda: None
    generator: LoadGenerator | None = None
    watch: GateWatch = field(default_factory=Watches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What every candidate is judged by: the golden set, the probes, and production."""

    golden: GoldenSet
    probes: tuple[Probe, ...]
    production: RegisteredVersion | None


class UnmeasurableError(Exception):
    """Carries a problem to where it becomes an `invalid` verdict; `conduct` catches every one."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.reason)
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering:
    """The steps before anything is served, for one request."""

    request: GateRequest
    documents: Documents
    ports: Ports
    steps: Steps
    run_id: str

    def baseline(self) -> Baseline:
        """Reads and checks the golden set, the probes and production's alias.

        Raises:
            UnmeasurableError: one of them cannot be had or fails its checks.
        """
        task = self.documents.task
        golden = self.measurable(
            "golden set",
            "load the golden set",
            lambda: self.ports.golden.load(self.request.golden, task.labels),
            retries=1,
        )
        self._check(golden)
        probes: tuple[Probe, ...] = ()
        if any(map(self.documents.wants, NEEDS_PROBES)):
            probes = tuple(
                self.measurable(
                    "probes",
                    "load the probes",
                    lambda: self.ports.golden.load_probes(self.request.golden),
                    retries=1,
                )
            )
        production = None
        if self.request.backend != "endpoint":
            production = self.measurable(
                "registry",
                "read production's alias",
                lambda: self.ports.registry.production(self.request.model),
                retries=2,
            )
        return Baseline(golden=golden, probes=probes, production=production)

    def subjects(self, baseline: Baseline, staging: Path) -> dict[Role, Subject]:
        """Pulls and verifies what will be compared, candidate first.

        Raises:
            ArtifactError: the candidate is not what it claims to be.
            ConfigError: there is no such model or version.
            UnmeasurableError: the store does not answer, or the baseline does not verify.
        """
        if self.request.backend == "endpoint":
            return self._endpoints()
        candidate = self._pull(self.request.version, staging / "candidate", "candidate")
        subjects = {
            Role.CANDIDATE: Subject(role=Role.CANDIDATE, ref=candidate.ref, artifact=candidate)
        }
        held = baseline.production
        if held is None:
            return subjects
        if held.digest == candidate.ref.digest:  # the gate's A/A test: production against itself
            production = Subject(role=Role.PRODUCTION, ref=candidate.ref, artifact=candidate)
        else:
            production = self._pull_production(held, staging / "production")
            if production.artifact is not None:
                check_succession(candidate, production.artifact)
        return subjects | {Role.PRODUCTION: production}

    def anchor(self, staging: Path) -> Subject | None:
        """Pulls and verifies the release that the policy pins, where it pins one.

        Raises:
            UnmeasurableError: the store does not answer, or the anchor does not verify.
        """
        pinned = self.documents.policy.anchor
        if pinned is None or self.request.backend == "endpoint":
            return None
        pulled = self._pull_reference(pinned.version, staging / "anchor", "anchor")
        return Subject(role=Role.PRODUCTION, ref=pulled.ref, artifact=pulled, alias="anchor")

    def measurable(self, where: str, name: str, action: Callable[[], T], *, retries: int = 0) -> T:
        """Runs a step without which nothing can be measured.

        Raises:
            UnmeasurableError: the step failed for want of a file or of something that answers.
        """
        try:
            return self.steps.run(name, action, retries=retries)
        except ConfigError as error:
            action_text = "Mend what is named, then run the gate again."
            raise _unmeasurable(where, error, action_text) from error
        except InfrastructureError as error:
            action_text = "Run the same command again once it answers."
            raise _unmeasurable(where, error, action_text) from error

    def _check(self, golden: GoldenSet) -> None:
        findings = self.measurable(
            "golden set",
            "check the golden set",
            lambda: self.ports.validator.check(golden, self.documents.task.labels),
        )
        failed = [one for one in findings if one.status is not FindingStatus.PASSED]
        if failed:
            raise UnmeasurableError(
                Problem(
                    where="golden set",
                    reason=" ".join(one.reason for one in failed),
                    action="Correct the golden set (`assay golden check` shows every check), "
                    "publish it, and run the gate again.",
                )
            )

    def _endpoints(self) -> dict[Role, Subject]:
        request = self.request
        urls = {Role.CANDIDATE: request.candidate_url, Role.PRODUCTION: request.production_url}
        return {
            role: Subject(
                role=role,
                ref=ArtifactRef(
                    model=request.model,
                    version=request.version if role is Role.CANDIDATE else "endpoint",
                    digest=digests.of_json({"endpoint": url, "run": self.run_id}),
                ),
                url=url,
            )
            for role, url in urls.items()
            if url is not None
        }

    def _pull(self, version: str, destination: Path, name: str) -> PulledArtifact:
        try:
            return self.steps.run(
                f"pull and verify {name} {version}",
                lambda: self.ports.store.pull(self.request.model, version, destination),
                retries=2,
            )
        except InfrastructureError as error:
            raise _unmeasurable(
                "trusted store", error, "Run the same command again once the store answers."
            ) from error

    def _pull_production(self, held: RegisteredVersion, destination: Path) -> Subject:
        pulled = self._pull_reference(held.version, destination, "production")
        if pulled.ref.digest != held.digest:
            raise UnmeasurableError(
                Problem(
                    where=f"production {held.version}",
                    reason=f"The store holds {pulled.ref.digest} but the alias production names "
                    f"{held.digest}: the baseline is not what is deployed.",
                    action="Find out which of the two is deployed and correct the other.",
                )
            )
        return Subject(role=Role.PRODUCTION, ref=pulled.ref, artifact=pulled)

    def _pull_reference(self, version: str, destination: Path, name: str) -> PulledArtifact:
        """Pulls what the candidate is compared with: its faults are not the candidate's."""
        try:
            return self._pull(version, destination, name)
        except (ArtifactError, ConfigError) as error:
            raise UnmeasurableError(
                Problem(
                    where=f"{name} {version}",
                    reason=f"The baseline cannot be verified: {error}",
                    action=f"Restore the {name} version in the trusted store, or name another one "
                    "that verifies; then run the gate again.",
                )
            ) from error


def _unmeasurable(where: str, error: Exception, action: str) -> UnmeasurableError:
    return UnmeasurableError(Problem(where=where, reason=str(error), action=action))
