"""Everything up to the answers: whose turn it is, what is compared, and what both models said.

::

    model's turn, devices ─▶ golden set, checks, production's alias ─▶ pull, verify
       ─▶ recorded verdict? ─▶ measure ─▶ thrown away?

Decides the order of these steps, what is written down after each, and that whatever kept the gate
from measuring becomes a problem of the run, and an artifact that is not what it claims a rejection.
A resumed run does none of it twice. What is made of the answers is `conduct`'s.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from assay.adapters import server_hardware
from assay.errors import ArtifactError, InfrastructureError
from assay.golden_set import golden_digest
from assay.records import Problem, Role
from assay.uninterrupted import uninterrupted
from flows import asked_before, resuming, teardown
from flows.asked_before import AskedBefore
from flows.conclude import SEALS, registered_document, settings_document
from flows.gathering import Baseline, UnmeasurableError
from flows.journal import Gathered, MeasuredEvent, Recorded, Verified, write_durably
from flows.measure import Measured, Measurement, Subject
from flows.queueing import devices
from flows.run_state import GateRun
from flows.scratch import temporary_files_of


@dataclass(frozen=True, slots=True)
class Obtaining:
    """The first half of one run."""

    run: GateRun

    def answers(self, held: ExitStack) -> MeasuredEvent | Recorded:
        """Returns what there is to judge, or the recorded answer to the same question."""
        try:
            self.wait(held)
            self.run.baseline = self._gathered()
            return self._measured_once(self.run.baseline)
        except UnmeasurableError as stop:
            if self.run.journal.last(MeasuredEvent) is not None:
                raise self._cannot_go_on(stop) from stop
            return self.run.over(problems=(stop.problem,))
        except ArtifactError as error:
            return self.run.over(rejected=str(error))

    # --- waiting --------------------------------------------------------------------------------

    def wait(self, held: ExitStack) -> None:
        """Takes this model's turn, and the devices; repairs what a killed promotion left."""
        model, registry = self.run.request.model, self.run.ports.registry
        try:
            held.enter_context(
                registry.turn(model, run_id=self.run.run_id, progress=self.run.progress)
            )
        except InfrastructureError as error:
            raise UnmeasurableError(
                Problem(
                    where="registry",
                    reason=str(error),
                    action="Run the same command again once it answers.",
                )
            ) from error
        repaired = self.run.gathering.measurable(
            "registry",
            "repair an interrupted promotion",
            lambda: registry.repair(model),
            retries=2,
        )
        if repaired is not None:
            self.run.progress(repaired)
            notes = (*self.run.context.notes, f"before this run, {repaired}")
            self.run.context = replace(self.run.context, notes=notes)
        if self.run.request.backend != "endpoint":  # what answers at a URL is on no device of ours
            names = server_hardware.devices(self.run.documents.profile.gpus)
            held.enter_context(devices(names, self.run.settings.device_locks, self.run.progress))

    def wait_again(self, held: ExitStack) -> None:
        """Waits as a run does that has only the alias left to move.

        Raises:
            InfrastructureError: the registry does not answer.
        """
        try:
            self.wait(held)
        except UnmeasurableError as stop:
            raise self._cannot_go_on(stop) from stop

    def _cannot_go_on(self, stop: UnmeasurableError) -> InfrastructureError:
        problem = stop.problem
        return InfrastructureError(f"--resume {self.run.run_id}: {problem.reason} {problem.action}")

    # --- gathering ------------------------------------------------------------------------------

    def _gathered(self) -> Baseline:
        known = self.run.journal.last(Gathered)
        measured = self.run.journal.last(MeasuredEvent) is not None
        baseline = self.run.gathering.baseline()
        if known is None:
            self.run.journal.append(
                Gathered(
                    golden=baseline.golden.digest,
                    probes=golden_digest(baseline.probes),
                    production=registered_document(baseline.production),
                )
            )
            return baseline
        resuming.check_gathered(self.run.run_id, known, baseline, measured=measured)
        # What is in production now is the registry's to compare, when the alias is to move.
        return replace(baseline, production=resuming.registered(known.production))

    def _measured_once(self, baseline: Baseline) -> MeasuredEvent | Recorded:
        known = self.run.journal.last(MeasuredEvent)
        if known is not None:
            self.run.context = known.context.to_record()
            self.run.find_settings(baseline)
            if known.files:
                self.run.measured = resuming.load_measured(self.run.journal.folder, known)
            return known
        with self._throwaway() as (staging, server):
            subjects = self._verified(baseline, staging)
            key = asked_before.key(
                self.run.request, self.run.documents, self.run.context, baseline, self.run.change
            )
            recorded = self._asked_before(key, baseline)
            if recorded is not None:
                return recorded
            self._refuse_first_release(subjects)
            uses = self._uses(baseline)
            anchor = self.run.gathering.anchor(staging)
            self.run.measured = self._measure(server, subjects, anchor, baseline)
        measured = self.run.measured
        self.run.context = replace(
            self.run.context,
            engine=measured.engine,
            production_engine=measured.production_engine,
            digests={**self.run.context.digests, "image": measured.engine.image.rpartition("@")[2]},
            notes=(*self.run.context.notes, *measured.notes, uses),
        )
        return self.run.over(
            files=resuming.store_measured(self.run.journal.folder, measured), key=key
        )

    def _verified(self, baseline: Baseline, staging: Path) -> dict[Role, Subject]:
        subjects = self.run.gathering.subjects(baseline, staging)
        found = {role: subject.ref for role, subject in subjects.items()}
        known = self.run.journal.last(Verified)
        if known is None:
            self._keep_seals(subjects)
            self.run.journal.append(
                Verified(
                    candidate=resuming.artifact_document(found[Role.CANDIDATE]),
                    production=None
                    if Role.PRODUCTION not in found
                    else resuming.artifact_document(found[Role.PRODUCTION]),
                )
            )
        elif self.run.request.backend != "endpoint":
            resuming.check_verified(self.run.run_id, known, found)
        self.run.context = replace(
            self.run.context, candidate=found[Role.CANDIDATE], production=found.get(Role.PRODUCTION)
        )
        self.run.find_settings(baseline)
        if self.run.change is not None:
            production = subjects[Role.PRODUCTION]
            subjects[Role.PRODUCTION] = replace(production, profile=self.run.change.profile)
        return subjects

    def _keep_seals(self, subjects: Mapping[Role, Subject]) -> None:
        """Keeps what vouches for the artifacts: a move back may not find the store."""
        for role, subject in subjects.items():
            if subject.artifact is not None:
                for path in sorted((subject.artifact.folder.parent / SEALS).glob("*")):
                    kept = self.run.journal.folder / SEALS / role.value / path.name
                    write_durably(kept, path.read_bytes())

    # --- the same question asked before ---------------------------------------------------------

    def _asked_before(self, key: Mapping[str, str], baseline: Baseline) -> Recorded | None:
        with temporary_files_of(self.run.run_id, self.run.settings.staging):
            found: AskedBefore | None = asked_before.find(
                key,
                gathering=self.run.gathering,
                ports=self.run.ports,
                change=self.run.change,
                progress=self.run.progress,
            )
        if found is None:
            return None
        self.run.store_verdict(found.verdict)
        recorded = Recorded(
            run=found.run,
            evidence=str(found.evidence),
            reused=True,
            may_promote=found.may_promote,
            settings=settings_document(self.run.settings_move()),
        )
        self.run.journal.append(recorded)
        return recorded

    def _uses(self, baseline: Baseline) -> str:
        uses = self.run.gathering.measurable(
            "registry",
            "count the golden set's uses",
            lambda: self.run.ports.registry.uses(self.run.request.model, baseline.golden.digest),
            retries=2,
        )
        return f"this golden version has driven {uses} verdicts of this model before this one"

    def _refuse_first_release(self, subjects: Mapping[Role, Subject]) -> None:
        if Role.PRODUCTION in subjects or self.run.documents.policy.first_release == "allow":
            return
        raise UnmeasurableError(
            Problem(
                where="production",
                reason=f"{self.run.request.model} has no production version to compare with, and "
                "the policy says first_release: refuse.",
                action="If this really is the first release, set first_release: allow in "
                f"{self.run.request.policy} and run the gate again; otherwise restore the alias.",
            )
        )

    # --- measuring ------------------------------------------------------------------------------

    def _measure(
        self,
        server: teardown.Watched,
        subjects: Mapping[Role, Subject],
        anchor: Subject | None,
        baseline: Baseline,
    ) -> Measured:
        measurement = Measurement(
            server=server,
            client=self.run.ports.client,
            documents=self.run.documents,
            profile_name=self.run.request.profile,
            golden=baseline.golden,
            probes=baseline.probes,
            run_id=self.run.run_id,
            answers_dir=self.run.settings.answers,
            cache_dir=self.run.settings.caches,
            seed=int(baseline.golden.digest.removeprefix("sha256:")[:8], 16),
            steps=self.run.steps,
            progress=self.run.progress,
            engine_probes=self.run.ports.engine_probes,
            free_memory_bytes=self.run.ports.free_memory_bytes,
            generator=self.run.ports.generator,
        )
        try:
            return measurement.run(subjects, anchor)
        except InfrastructureError as error:
            raise UnmeasurableError(
                Problem(
                    where="measuring",
                    reason=str(error),
                    action="Mend what is named, then run the same command again: answers already "
                    "stored are not asked again.",
                )
            ) from error

    @contextmanager
    def _throwaway(self) -> Iterator[tuple[Path, teardown.Watched]]:
        """Gives a folder for private copies and a back end; afterwards looks whether all is gone.

        Looked for on every way out, also the interrupt of a person: a leftover must be told.
        """
        self.run.settings.staging.mkdir(parents=True, exist_ok=True)
        staging = Path(
            tempfile.mkdtemp(prefix=f"{self.run.run_id}-", dir=self.run.settings.staging)
        )
        server = teardown.Watched(self.run.ports.server)
        try:
            yield staging, server
        finally:
            with uninterrupted():
                shutil.rmtree(staging, ignore_errors=True)
            found = teardown.examine(server.launched, staging, self.run.progress)
            text = json.dumps(found.model_dump(mode="json"), indent=2) + "\n"
            write_durably(self.run.journal.folder / teardown.FILE, text.encode())
            self.run.context = replace(
                self.run.context,
                problems=(*self.run.context.problems, *found.problems()),
                notes=(*self.run.context.notes, *found.notes()),
            )
