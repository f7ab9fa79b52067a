"""How long the audit log must be: the lengths noted in signed evidence and in the registry.

Decides where to look. A note counts only where its signature is a trusted gate's; what is in MLflow
is not signed, and counts because whoever cuts the log would have to change it there too.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from assay import attestation, evidence
from assay.attestation_statement import LogHead
from assay.errors import ArtifactError, ConfigError
from assay.verdict_trust import VerdictTrust
from flows.settings import Settings


def noted_heads(
    settings: Settings, folders: Sequence[Path] | None, models: Sequence[str]
) -> list[LogHead]:
    """Returns every length of the log that was noted somewhere.

    Args:
        settings: where the trust file, the reports and the registry are.
        folders: evidence to read; None for all of this machine's.
        models: models whose runs in the registry are read, too.

    Raises:
        ArtifactError: evidence that was named is not what a trusted gate signed.
        ConfigError: a note in the registry is none.
        InfrastructureError: the registry cannot be reached.
    """
    trust = VerdictTrust.load(settings.trust) if settings.trust.exists() else VerdictTrust()
    heads: list[LogHead] = []
    for folder in _signed(settings.reports) if folders is None else folders:
        try:
            stated = attestation.stated_by(folder, trust)
        except ArtifactError:
            if folders is not None:
                raise
            continue  # of another gate, or altered: it says nothing about this log
        heads += [stated.audit_log] if stated.audit_log else []
    for model in models:
        heads += [_parsed(text) for text in _in_registry(settings, model)]
    return heads


def _signed(reports: Path) -> list[Path]:
    return sorted(path.parent for path in reports.glob(f"*/{evidence.ATTESTATION}"))


def _in_registry(settings: Settings, model: str) -> Sequence[str]:
    from assay.adapters.registry_mlflow import MlflowRegistry

    return MlflowRegistry(settings.tracking_uri, settings.locks).audit_heads(model)


def _parsed(text: str) -> LogHead:
    entries, _, head = text.partition(":")
    try:
        return LogHead.model_validate({"entries": int(entries), "head": head})
    except (ValidationError, ValueError):
        raise ConfigError(
            f"MLflow: a run's tag assay.audit_head is {text[:90]!r}; expected "
            "`<entries>:<digest>`; find out who edited it"
        ) from None
