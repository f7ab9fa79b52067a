"""From settings to the adapters of a publication."""

from datetime import UTC, datetime
from pathlib import Path

from assay.audit_log import AuditLog
from assay.golden_trust import GoldenTrust
from assay.ports import Progress
from flows.golden_publishing import PublishPorts
from flows.request import GateRequest
from flows.rescoring import Rescoring
from flows.settings import Settings
from flows.steps import Steps
from flows.wiring import wire


def wire_publication(
    settings: Settings,
    *,
    root: Path,
    key: Path | None,
    gate: GateRequest | None,
    steps: Steps,
    progress: Progress,
) -> PublishPorts:
    """Returns the adapters of one publication.

    Args:
        settings: where things are.
        root: the repository's root.
        key: the curator's key; the gate's own if None.
        gate: the model whose production is scored afterwards, and how it is served; None: none.
        steps: how steps are run.
        progress: receives sentences for people.

    Raises:
        ConfigError: the key, the back end or the trust file is not usable; says how to mend it.
    """
    from assay.adapters.golden_dvc import DvcGoldenSource
    from assay.adapters.golden_log_mlflow import MlflowGoldenLog
    from assay.adapters.golden_repository import GoldenRepository
    from assay.adapters.validator_gx import GxValidator

    signer = key or settings.signing_key
    if signer is not None and (why := _why_not_believed(signer, settings)):
        progress(why)
    rescore = None
    if gate is not None:
        rescore = Rescoring(
            request=gate,
            settings=settings,
            ports=wire(gate, settings),
            steps=steps,
            progress=progress,
        )
    return PublishPorts(
        repository=GoldenRepository(root),
        source=DvcGoldenSource(root),
        validator=GxValidator(),
        log=MlflowGoldenLog(settings.tracking_uri),
        audit=AuditLog(settings.audit_log),
        key=signer,
        who=settings.who,
        rescore=rescore,
    )


def _why_not_believed(key: Path, settings: Settings) -> str | None:
    """Says that this machine would refuse the version; others may list other keys."""
    from assay.adapters.signer_dsse import load_private_key

    trust = GoldenTrust.load(settings.trust) if settings.trust.exists() else GoldenTrust()
    known = trust.keys.by_id(load_private_key(key)[1])
    if known is not None and (why := known.why_not(datetime.now(UTC))) is None:
        return None
    why = "it is not listed" if known is None else why
    return (
        f"{key}: gates of this machine will not believe what it signs: {why}; list its public key "
        f"under `golden.curators` in {settings.trust}"
    )
