"""The trust anchors (`trust.yaml`): which public keys may vouch for a model.

Decides which keys count and when; verifying with them is left to the signers. The keys are part of
the configuration, never of the store, and are read once, when the configuration is::

    schema_version: 1
    keys:
      - name: release-2026
        public_key: keys/release-2026.pub    # PEM; relative to this file
        valid_from: 2026-01-01T00:00:00Z
        valid_until: 2027-01-01T00:00:00Z    # signs nothing newer; what it signed stays good
      - name: release-2025
        public_key: keys/release-2025.pub
        revoked: true                        # may have leaked: vouches for nothing, old or new

To rotate a key, add the new one, then end the old one with `valid_until`. The validity is held
against the time that the release manifest states under the same signature, so the holder of an
ended key can still backdate: a key that may have leaked must be `revoked`, not only ended.

The same file lists, apart from these, who may sign a verdict and who may approve or override one
(read by `verdict_trust`), and who may publish a golden set (read by `golden_trust`)::

    gates:
      - {name: gate-2026, public_key: keys/gate-2026.pub}
    approvers:                             # one entry a key; the name is the person
      - {name: Ada Lovelace, roles: [approve, override], public_key: keys/ada.pub}
    golden:
      curators:
        - {name: data-2026, public_key: keys/data-2026.pub}
      manifest: required                   # a set that nobody vouches for judges nothing
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from pydantic import AwareDatetime, Field, field_validator, model_validator

from assay.artifact import Sha256Hex
from assay.artifact_checks import ArtifactRules
from assay.awq_layout import ARCHITECTURES
from assay.documents import Document, read_text, read_yaml
from assay.errors import ConfigError
from assay.image_policy import ImagePolicy, ImageRules
from assay.trust_authorities import (
    Authority,
    AuthorityEntry,
    Identity,
    IdentityEntry,
    read_authority,
    read_identity,
)


class TrustEntry(Document):
    """One key of `trust.yaml`."""

    name: str = Field(min_length=1, max_length=64)
    public_key: Path
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    revoked: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> "TrustEntry":
        if self.valid_from and self.valid_until and self.valid_from >= self.valid_until:
            raise ValueError(f"key {self.name!r}: valid_from is not before valid_until")
        return self


Office = Literal["approve", "override"]


class ApproverEntry(TrustEntry):
    """One key of a person who may approve a promotion, override a block, or both."""

    roles: tuple[Office, ...] = Field(min_length=1)


class TemplateEntry(Document):
    """One chat template that may be served: what `assay store template` prints."""

    sha256: Sha256Hex
    rendering_sha256: Sha256Hex
    reviewed: bool = Field(
        default=False, description="Somebody has read it: it may branch on what a message says."
    )


class ArtifactSection(Document):
    """The section `artifacts` of `trust.yaml`: what may be served, beyond what always holds."""

    architectures: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="Architectures that may be served; else all known."
    )
    chat_templates: tuple[TemplateEntry, ...] | None = Field(
        default=None, description="Chat templates that may be served; else all that pass the lint."
    )

    @field_validator("architectures")
    @classmethod
    def _are_known(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in names or ():
            if name not in ARCHITECTURES:
                raise ValueError(
                    f"{name!r} is unknown; expected some of {', '.join(ARCHITECTURES)}"
                )
        return names

    def rules(self) -> ArtifactRules:
        """Returns the section as rules."""
        templates = self.chat_templates
        return ArtifactRules(
            architectures={
                name: kind
                for name, kind in ARCHITECTURES.items()
                if self.architectures is None or name in self.architectures
            },
            reviewed_templates=frozenset(one.sha256 for one in templates or () if one.reviewed),
            golden_renderings=None
            if templates is None
            else {one.sha256: one.rendering_sha256 for one in templates},
        )


class GoldenSection(Document):
    """The section `golden` of `trust.yaml`: who may publish a golden set, beside the gates."""

    curators: tuple[TrustEntry, ...] = ()
    manifest: Literal["optional", "required"] = Field(
        default="optional", description="Whether a set without a signed manifest may judge."
    )


class TrustDocument(Document):
    """The whole of `trust.yaml`."""

    schema_version: Literal[1]
    keys: tuple[TrustEntry, ...] = ()
    authorities: tuple[AuthorityEntry, ...] = ()
    identities: tuple[IdentityEntry, ...] = ()
    gates: tuple[TrustEntry, ...] = ()
    approvers: tuple[ApproverEntry, ...] = ()
    artifacts: ArtifactSection = ArtifactSection()
    golden: GoldenSection = GoldenSection()
    images: ImageRules | None = None

    @model_validator(mode="after")
    def _somebody_may_sign(self) -> "TrustDocument":
        models = self.keys or self.authorities or self.identities
        if not (models or self.gates or self.golden.curators):
            raise ValueError(
                "expected at least one of keys, authorities, identities, gates and golden.curators"
            )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """One public key that counts. `key_id` is the hex SHA-256 of its PEM (SubjectPublicKeyInfo).

    `authority` is who certified a key that is not pinned itself; with `identity`, a Sigstore
    identity signed, and there is no lasting key.
    """

    name: str
    pem: bytes
    key_id: str
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    revoked: bool = False
    authority: Authority | None = None
    identity: Identity | None = None

    def why_not(self, signed_at: datetime) -> str | None:
        """Says why the key does not vouch for something signed at a time, or None if it does."""
        if self.revoked:
            return f"key {self.name!r} is revoked"
        if self.valid_from and signed_at < self.valid_from:
            return f"key {self.name!r} is valid from {self.valid_from.isoformat()} only"
        if self.valid_until and signed_at > self.valid_until:
            return f"key {self.name!r} was valid until {self.valid_until.isoformat()} only"
        return None


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """All that may vouch for a model: pinned keys, in the order of the document, and others."""

    keys: tuple[TrustedKey, ...]
    authorities: tuple[Authority, ...] = ()
    identities: tuple[Identity, ...] = ()

    @classmethod
    def load(cls, path: Path) -> "TrustedKeys":
        """Reads `trust.yaml` and the keys it names.

        Raises:
            ConfigError: a file is missing, no EC key in PEM, or named twice.
        """
        document = read_yaml(path, TrustDocument)
        keys = tuple(entry_key(path, entry) for entry in document.keys)
        for kind, values in (
            ("name", [key.name for key in keys]),
            ("public key", [key.key_id for key in keys]),
        ):
            if len(set(values)) < len(values):
                raise ConfigError(f"{path}: two entries have the same {kind}; remove one of them")
        return cls(
            keys,
            tuple(read_authority(path.parent, entry) for entry in document.authorities),
            tuple(read_identity(path.parent, entry) for entry in document.identities),
        )

    def by_id(self, key_id: str) -> TrustedKey | None:
        """Returns the key with an id, or None."""
        return next((key for key in self.keys if key.key_id == key_id), None)


def read_artifact_rules(path: Path) -> ArtifactRules:
    """Reads the section `artifacts` of a trust file; without one, what always holds.

    Raises:
        ConfigError: the file is missing or wrong.
    """
    return read_yaml(path, TrustDocument).artifacts.rules()


def read_image_policy(path: Path) -> ImagePolicy | None:
    """Reads the section `images` of a trust file and the report it names; None without one.

    Raises:
        ConfigError: the file or the report is missing or wrong.
    """
    rules = read_yaml(path, TrustDocument).images
    return None if rules is None else ImagePolicy.read(rules, path.parent)


def entry_key(path: Path, entry: TrustEntry) -> TrustedKey:
    """Reads the key of one entry of the trust file at `path`.

    Raises:
        ConfigError: no such file, or no public EC key (P-256 or P-384) in PEM.
    """
    return trusted_key(
        path.parent / entry.public_key,
        name=entry.name,
        valid_from=entry.valid_from,
        valid_until=entry.valid_until,
        revoked=entry.revoked,
    )


def trusted_key(
    path: Path,
    *,
    name: str,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
    revoked: bool = False,
) -> TrustedKey:
    """Reads one public key.

    Raises:
        ConfigError: no such file, or no public EC key (P-256 or P-384) in PEM.
    """
    try:
        key = load_pem_public_key(read_text(path).encode())
    except ValueError:
        raise ConfigError(
            f"{path}: not a public key in PEM; make a pair with `assay store keygen`"
        ) from None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(
        key.curve, SECP256R1 | SECP384R1
    ):
        raise ConfigError(
            f"{path}: expected a public EC key on P-256 or P-384; make one with "
            "`assay store keygen`"
        )
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return TrustedKey(
        name=name,
        pem=pem,
        key_id=hashlib.sha256(pem).hexdigest(),
        valid_from=valid_from,
        valid_until=valid_until,
        revoked=revoked,
    )
