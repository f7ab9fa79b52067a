"""Trust in signers whose keys are not pinned: a company's certificates, and Sigstore identities.

Decides what `trust.yaml` may say of them; verifying with them is left to the signers. Both need a
narrow name beside the root: an authority certifies many people, of whom few may release models::

    authorities:
      - name: acme
        certificates: ca/acme.pem            # root first, then intermediates; PEM
        subjects: [model-release]            # common names that may sign
        revoked: [ab12…]                     # SHA-256 fingerprints of certificates
    identities:
      - name: release workflow               # keyless: needs the network, or `trust_config`
        identity: https://github.com/acme/models/.github/workflows/release.yml@refs/heads/main
        issuer: https://token.actions.githubusercontent.com
        trust_config: sigstore.json          # a private Sigstore's roots; optional
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cryptography import x509
from pydantic import Field

from assay.documents import Document, read_text
from assay.errors import ConfigError


class AuthorityEntry(Document):
    """One certificate authority of `trust.yaml`."""

    name: str = Field(min_length=1, max_length=64)
    certificates: Path
    subjects: tuple[str, ...] = Field(min_length=1)
    revoked: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = ()


class IdentityEntry(Document):
    """One Sigstore identity of `trust.yaml`."""

    name: str = Field(min_length=1, max_length=64)
    identity: str = Field(min_length=1)
    issuer: str = Field(min_length=1)
    trust_config: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A pinned certificate authority: `pem` holds its root and intermediates."""

    name: str
    pem: bytes
    subjects: tuple[str, ...]
    revoked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A pinned Sigstore identity and the issuer that must have attested it."""

    name: str
    identity: str
    issuer: str
    trust_config: Path | None = None


def read_authority(folder: Path, entry: AuthorityEntry) -> Authority:
    """Reads an authority's certificates, relative to a folder.

    Raises:
        ConfigError: no such file, or no certificates in PEM.
    """
    path = folder / entry.certificates
    pem = read_text(path).encode()
    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ConfigError(
            f"{path}: holds no certificates in PEM; name the file with your authority's root and "
            "intermediate certificates"
        ) from None
    return Authority(
        name=entry.name, pem=pem, subjects=entry.subjects, revoked=frozenset(entry.revoked)
    )


def read_identity(folder: Path, entry: IdentityEntry) -> Identity:
    """Returns an identity with the path of its trust configuration made whole.

    Raises:
        ConfigError: the trust configuration is named and missing.
    """
    config = None if entry.trust_config is None else folder / entry.trust_config
    if config is not None:
        read_text(config)
    return Identity(
        name=entry.name, identity=entry.identity, issuer=entry.issuer, trust_config=config
    )
