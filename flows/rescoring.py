"""Asks production a golden version as soon as it is published, so that the next gate need not.

Decides whether there is a production to ask and that its turn and its devices are waited for like
any gate's; the asking, and under which key the answers are found again, is `measure`'s, which is
why the next gate on the same engine takes every one of them.
"""

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from assay.adapters import server_hardware
from assay.errors import InfrastructureError
from assay.ports import Progress
from assay.records import Role
from assay.uninterrupted import uninterrupted
from flows import teardown
from flows.conduct import new_run_id
from flows.gathering import Gathering, Ports, UnmeasurableError
from flows.measure import Measurement
from flows.queueing import devices
from flows.request import GateRequest, load_documents
from flows.settings import Settings
from flows.steps import Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescoring:
    """Scores one model's production. `request.version` is not looked at."""

    request: GateRequest
    settings: Settings
    ports: Ports
    steps: Steps
    progress: Progress

    def __call__(self, revision: str) -> str:
        """Asks production every case and probe of a golden revision that it was not asked yet.

        Returns:
            A sentence about what was done, or why there was nothing to do.

        Raises:
            ConfigError: a document is wrong.
            InfrastructureError: an engine, the store or the registry failed; call it again.
        """
        model, run_id = self.request.model, new_run_id(datetime.now(UTC))
        held = self.ports.registry.production(model)
        if held is None:
            return f"{model} has no production version: there is no baseline to score"
        request = replace(self.request, version=held.version, golden=revision)
        with ExitStack() as stack:
            stack.enter_context(
                self.ports.registry.turn(model, run_id=run_id, progress=self.progress)
            )
            profile = load_documents(request).profile
            names = server_hardware.devices(profile.gpus)
            stack.enter_context(devices(names, self.settings.device_locks, self.progress))
            try:
                return self._score(request, run_id)
            except UnmeasurableError as stop:
                raise InfrastructureError(
                    f"scoring production on {revision}: {stop.problem.where}: "
                    f"{stop.problem.reason} The golden version is in force; mend this, then run "
                    "the same command again"
                ) from stop

    def _score(self, request: GateRequest, run_id: str) -> str:
        documents = load_documents(request)
        gathering = Gathering(
            request=request,
            documents=documents,
            ports=self.ports,
            steps=self.steps,
            run_id=run_id,
        )
        baseline = gathering.baseline()
        self.settings.staging.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f"{run_id}-", dir=self.settings.staging))
        server = teardown.Watched(self.ports.server)
        try:
            subject = gathering.subjects(baseline, staging)[Role.PRODUCTION]
            measurement = Measurement(
                server=server,
                client=self.ports.client,
                documents=documents,
                profile_name=request.profile,
                golden=baseline.golden,
                probes=baseline.probes,
                run_id=run_id,
                answers_dir=self.settings.answers,
                cache_dir=self.settings.caches,
                seed=0,
                steps=self.steps,
                progress=self.progress,
            )
            notes = measurement.score(subject)
        finally:
            with uninterrupted():
                shutil.rmtree(staging, ignore_errors=True)
            found = teardown.examine(server.launched, staging, self.progress)
        if problems := found.problems():
            raise InfrastructureError(" ".join(f"{one.reason} {one.action}" for one in problems))
        name = f"{request.model} {request.version}"
        known = f" ({'; '.join(notes)})" if notes else ""
        return f"{name} was asked all {baseline.golden.size} cases: the next gate's baseline{known}"
