"""Who may publish a golden set, and whether a set must have been published (`trust.yaml`).

Decides only whose keys count and whether a manifest is required; what they signed is looked at by
`golden_manifest`. Gates count beside curators, because a gate's own key publishes where no other
is named. A key that vouches for models does not, nor does an approver's.
"""

from dataclasses import dataclass, field
from pathlib import Path

from assay.documents import read_yaml
from assay.errors import ConfigError
from assay.trust import TrustDocument, TrustedKeys, entry_key


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenTrust:
    """The keys that count for golden sets. With none, no manifest is believed."""

    keys: TrustedKeys = field(default_factory=lambda: TrustedKeys(()))
    required: bool = False

    @classmethod
    def load(cls, path: Path) -> "GoldenTrust":
        """Reads the sections `gates` and `golden` of a trust file.

        Raises:
            ConfigError: a file is missing or no EC key in PEM, or a key is listed twice.
        """
        document = read_yaml(path, TrustDocument)
        entries = (*document.gates, *document.golden.curators)
        keys = tuple(entry_key(path, entry) for entry in entries)
        if len({key.key_id for key in keys}) < len(keys):
            raise ConfigError(
                f"{path}: two entries of `gates` and `golden.curators` have the same public key; "
                "a gate may publish without being listed again; remove one of them"
            )
        return cls(keys=TrustedKeys(keys), required=document.golden.manifest == "required")
