"""Who may sign a verdict, and who may approve or override one (`trust.yaml`).

Decides only which keys are listed for which office; what they signed is looked at by `attestation`
and `approvals`. The offices are kept apart: a key that vouches for models may not vouch for
verdicts, and no gate may approve what it has judged.
"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from assay.documents import read_yaml
from assay.errors import ConfigError
from assay.trust import Office, TrustDocument, TrustedKey, TrustedKeys, entry_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Approver:
    """One key of a person; `key.name` is the person, who may have several keys over time."""

    key: TrustedKey
    roles: tuple[Office, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictTrust:
    """The keys that count for verdicts. With none, nothing signed counts."""

    gates: TrustedKeys = field(default_factory=lambda: TrustedKeys(()))
    approvers: tuple[Approver, ...] = ()

    @classmethod
    def load(cls, path: Path) -> "VerdictTrust":
        """Reads the sections `gates` and `approvers` of a trust file.

        Raises:
            ConfigError: a file is missing or no EC key in PEM, or a key is listed twice.
        """
        document = read_yaml(path, TrustDocument)
        gates = tuple(entry_key(path, entry) for entry in document.gates)
        approvers = tuple(
            Approver(key=entry_key(path, entry), roles=entry.roles) for entry in document.approvers
        )
        _once("name", [key.name for key in gates], path)
        others = (*document.keys, *document.golden.curators)
        listed = [entry_key(path, entry).key_id for entry in others]
        people = [approver.key.key_id for approver in approvers]
        _once("public key", [*listed, *(key.key_id for key in gates), *people], path)
        return cls(gates=TrustedKeys(gates), approvers=approvers)

    @property
    def people(self) -> TrustedKeys:
        """The approvers' keys."""
        return TrustedKeys(tuple(approver.key for approver in self.approvers))

    def roles_of(self, key: TrustedKey) -> tuple[Office, ...]:
        """Returns the roles under which a key is listed; none for a key that is not."""
        found = (one.roles for one in self.approvers if one.key.key_id == key.key_id)
        return next(found, ())

    def why_no_gate(self, key_id: str, at: datetime) -> str | None:
        """Says why a key could not vouch for a verdict signed at a time; None when it could."""
        key = self.gates.by_id(key_id)
        if key is None:
            return "it is not listed under `gates` in the trust file"
        return key.why_not(at)


def _once(kind: str, values: list[str], path: Path) -> None:
    if len(set(values)) < len(values):
        raise ConfigError(
            f"{path}: two entries of `keys`, `gates`, `approvers` and `golden.curators` have "
            f"the same {kind}; "
            "expected each to have its own, so that nobody holds two offices by one key; make "
            "another key with `assay store keygen`"
        )
