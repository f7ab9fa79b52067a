"""The registry on MLflow: gates as runs, versions and aliases in its model registry.

Decides who may move an alias at the same time (nobody else, here or on another machine) and that a
gate which lost its turn may not. How gates are written is `registry_runs`', how aliases move
`registry_aliases`', whose turn it is `registry_turns`', how errors look `registry_connection`'s.

A registered version is found by its artifact's digest, never by a counter. No weights are uploaded:
a version's source names the trusted store.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from assay.adapters import registry_aliases as aliases
from assay.adapters import registry_claim as claim
from assay.adapters.registry_connection import MlflowConnection
from assay.adapters.registry_runs import MlflowRuns
from assay.adapters.registry_turns import MlflowTurns
from assay.adapters.registry_versions import MlflowVersions
from assay.artifact import check_model_name
from assay.errors import InfrastructureError
from assay.ports import Progress
from assay.records import ArtifactRef, PromotionOutcome, RegisteredVersion, SettingsMove, WayBack
from assay.warrant import NOBODY, Gatekeeper, Warrant

LOCK_TIMEOUT_S = 60.0


class MlflowRegistry(MlflowRuns):
    """Implements `assay.ports.Registry` with MLflow's client API.

    Args:
        tracking_uri: `sqlite:///…`, or the URL of a tracking server.
        lock_dir: folder of the promotion locks, shared by every gate on this machine.
        gatekeeper: whose signatures may move an alias; by default nobody's.
    """

    def __init__(self, tracking_uri: str, lock_dir: Path, gatekeeper: Gatekeeper = NOBODY) -> None:
        connection = MlflowConnection(tracking_uri)
        super().__init__(connection, MlflowVersions(connection))
        self._turns = MlflowTurns(connection)
        self._lock_dir = lock_dir
        self._gatekeeper = gatekeeper

    def turn(self, model: str, *, run_id: str, progress: Progress) -> AbstractContextManager[None]:
        """Waits for a model's turn (see `Registry.turn`)."""
        check_model_name(model)
        return self._turns.turn(model, run_id, progress)

    def production(self, model: str) -> RegisteredVersion | None:
        """Returns what the alias `production` names, or None (see `Aliases.production`)."""
        check_model_name(model)
        with self._mlflow.reaching():
            return self._versions.named(model, aliases.PRODUCTION)

    def repair(self, model: str) -> str | None:
        """Ends a half-done move (see `registry_moves.repair`)."""
        with self._alone(model):
            done = aliases.repair(self._versions, model)
            self._versions.write_page(model)
            return done

    def promote(
        self,
        ref: ArtifactRef,
        *,
        expected: ArtifactRef | None,
        gate_run: str,
        warrant: Warrant,
        settings: SettingsMove | None = None,
    ) -> PromotionOutcome:
        """Moves `production` to `ref` (see `registry_aliases.promote`)."""
        with self._alone(ref.model):
            self._turns.still_held(ref.model)
            outcome = aliases.promote(
                self._versions,
                ref,
                expected=expected,
                gate_run=gate_run,
                warrant=warrant,
                gatekeeper=self._gatekeeper,
                keep=lambda: self.keep_warrant(gate_run, warrant),
                settings=settings,
            )
            self._versions.write_page(ref.model)
            return outcome

    def way_back(self, model: str, to_version: str | None) -> WayBack:
        """Returns where `production` may go back to (see `registry_aliases.way_back`)."""
        with self._alone(model):
            aliases.repair(self._versions, model)
            return aliases.way_back(self._versions, model, to_version)

    def move_back(self, way: WayBack, *, reason: str, who: str, run: str) -> PromotionOutcome:
        """Moves `production` back (see `registry_aliases.move_back`)."""
        with self._alone(way.current.model):
            outcome = aliases.move_back(self._versions, way, reason=reason, who=who, run=run)
            self._versions.write_page(way.current.model)
            return outcome

    @contextmanager
    def _alone(self, model: str) -> Iterator[None]:
        """Lets one process at a time move a model's aliases, here and on other machines."""
        check_model_name(model)
        self._lock_dir.mkdir(parents=True, exist_ok=True)
        path = self._lock_dir / f"promote-{model}.lock"
        with ExitStack() as stack:
            try:
                stack.enter_context(FileLock(path, timeout=LOCK_TIMEOUT_S))
            except Timeout:
                raise InfrastructureError(
                    f"{path}: another promotion of {model} holds the lock for more than "
                    f"{LOCK_TIMEOUT_S:.0f} s; wait for it, then run the same command again"
                ) from None
            stack.enter_context(self._mlflow.reaching())
            if self._mlflow.database is None:
                stack.enter_context(claim.claimed(self._mlflow.client, model))
            yield
