"""From a recorded verdict to the alias: countersign what people signed, then ask the registry.

Decides whether a verdict is one to ask for at all, and what is logged around the asking. Whether
the alias may move is `assay.warrant`'s, which the registry asks itself; how it moves is the
registry's.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from assay import evidence
from assay.errors import ArtifactError
from assay.policy import ChangeClass, Policy
from assay.ports import Registry
from assay.records import PromotionOutcome, RegisteredVersion, SettingsMove, Verdict, VerdictKind
from assay.verdict import may_move_alias
from assay.warrant import Warrant
from flows.notary import Notary
from flows.steps import Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """One attempt to move `production` by one recorded verdict.

    Args:
        verdict: as recorded.
        folder: its evidence.
        policy, golden: the policy and the golden set's digest as they are now.
        change: the change class that was asked for.
        production: what is in production, for the outcome of an attempt that asks nothing.
        recorded_as: the registry's run of the verdict.
        settings: the engine settings that move with it.
    """

    verdict: Verdict
    folder: Path
    policy: Policy
    golden: str
    change: ChangeClass
    production: RegisteredVersion | None
    recorded_as: str
    settings: SettingsMove | None = None

    def run(self, registry: Registry, notary: Notary, steps: Steps) -> PromotionOutcome | None:
        """Moves `production` to the verdict's candidate if the registry's gatekeeper agrees.

        Returns:
            What became of the alias; None where the verdict is not one that may move it.

        Raises:
            InfrastructureError: the registry cannot be reached; the same may be asked again.
        """
        candidate, engine = self.verdict.context.candidate, self.verdict.context.engine
        if candidate is None or engine is None or not self.is_worth_asking:
            return None
        allowed = self.policy.backends_that_may_promote
        if engine.backend not in allowed:  # of an endpoint there may be no version to move to
            return self._not_moved(
                f"the policy lets {', '.join(allowed)} move production, and this verdict was "
                f"computed on {engine.backend}; run the gate there to promote"
            )
        try:
            notary.countersign(self.folder, self.change)
        except ArtifactError as error:
            return self._not_moved(str(error))
        warrant = Warrant(
            evidence=self.folder,
            policy=self.policy,
            golden=self.golden,
            audit_head=notary.asked(self.folder, self.verdict),
        )
        outcome = steps.run(
            "move production",
            lambda: registry.promote(
                candidate,
                expected=self.verdict.context.production,
                gate_run=self.recorded_as,
                warrant=warrant,
                settings=self.settings,
            ),
            retries=1,
        )
        notary.settled(self.verdict, outcome)
        return outcome

    @property
    def is_worth_asking(self) -> bool:
        """A promote is; what did not pass is once somebody has signed an override of it."""
        if may_move_alias(self.verdict):
            return True
        signed = any((self.folder / evidence.APPROVALS).glob("*.json"))
        return signed and self.verdict.verdict in (VerdictKind.BLOCK, VerdictKind.INCONCLUSIVE)

    def _not_moved(self, reason: str) -> PromotionOutcome:
        return PromotionOutcome(
            moved=False, reason=reason, production=self.production, previous=None
        )


def evidence_of(run: str, run_id: str, registry: Registry, notary: Notary) -> Path:
    """Returns the evidence of a recorded run, fetched from the registry where it is not here.

    Raises:
        ConfigError: the registry holds none.
        InfrastructureError: the registry cannot be reached.
    """
    folder = notary.reports / run_id
    if not (folder / evidence.SUMS).is_file():
        notary.reports.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=notary.reports, prefix=".fetching-") as fetched:
            registry.evidence(run, Path(fetched) / run_id)
            (Path(fetched) / run_id).replace(folder)  # whole or not at all
    return folder
