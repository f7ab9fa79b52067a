"""What an artifact is: its names, its manifest, its metadata, its release manifest, its digest.

Decides which file names a version may hold, how a version's files become one digest, and what a
publisher signs. Pure: reading and checking the files themselves is left to `artifact_checks`,
signatures to the signers, storage to the stores.

A version in the store is a flat folder::

    <root>/<model>/<version>/
        config.json  model.safetensors  tokenizer.json  …     the model's files
        metadata.json    where the model comes from
        manifest.json    size and SHA-256 of all of the above, in canonical JSON
        model.sig        OpenSSF model signature over all of the above
        release.json     DSSE envelope over the release manifest; written last

The artifact digest is the SHA-256 of `manifest.json` as stored. The signature alone would let an
old version be replayed under a newer name, so the release manifest binds the digest to a model,
a version and a sequence number. A version exists once its `release.json` does.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, JsonValue

from assay import digests
from assay.documents import Document
from assay.errors import ConfigError

METADATA = "metadata.json"
MANIFEST = "manifest.json"
SIGNATURE = "model.sig"
RELEASE = "release.json"
CHAT_TEMPLATE = "chat_template.jinja"
INDEX = "model.safetensors.index.json"
SEALS = frozenset({MANIFEST, SIGNATURE, RELEASE})
"""Files that the store adds: never among a publisher's files, never served."""

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
RELEASE_PREDICATE = "urn:assay:release:v1"

_MODEL_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,94}[a-z0-9])?", re.ASCII)
_VERSION = re.compile(r"[0-9](?:[0-9A-Za-z.+-]{0,62}[0-9A-Za-z])?", re.ASCII)
_WEIGHTS = re.compile(r"model(?:-\d{5}-of-\d{5})?\.safetensors", re.ASCII)
_PLAIN_FILES = frozenset(
    {
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
        CHAT_TEMPLATE,
        INDEX,
        METADATA,
        "README.md",
        "LICENSE",
        "LICENSE.md",
        "LICENSE.txt",
        "NOTICE",
    }
)
REQUIRED_FILES = frozenset({"config.json", "tokenizer.json", "tokenizer_config.json"})


def is_weights(name: str) -> bool:
    """Whether a name is that of a weights file (`model*.safetensors`)."""
    return _WEIGHTS.fullmatch(name) is not None


def is_allowed(name: str) -> bool:
    """Whether a model folder may hold a file of this name; compared byte for byte."""
    return name in _PLAIN_FILES or is_weights(name)


def check_model_name(model: str) -> None:
    """Refuses a model name that could not be a folder in every store.

    Raises:
        ConfigError: says what a name may look like.
    """
    if not _MODEL_NAME.fullmatch(model) or ".." in model:
        raise ConfigError(
            f"model name {model!r}: expected up to 96 of a-z, 0-9, '.', '_' and '-', beginning and "
            "ending with a letter or digit; choose another name"
        )


def check_version(version: str) -> None:
    """Refuses a version that is no path component or cannot be put in order.

    Raises:
        ConfigError: says what a version may look like.
    """
    if _VERSION.fullmatch(version) and ".." not in version:
        try:
            Version(version)
        except InvalidVersion:
            pass
        else:
            return
    raise ConfigError(
        f"version {version!r}: expected a version like '1.2.0', '1.2.0rc1' or '1.2.0-beta.2' "
        "(PEP 440), at most 64 characters; choose another"
    )


def in_order(versions: Sequence[str]) -> list[str]:
    """Sorts versions, oldest first; names that are no version are left out."""
    known: list[tuple[Version, str]] = []
    for version in versions:
        try:
            check_version(version)
        except ConfigError:
            continue
        known.append((Version(version), version))
    return [version for _, version in sorted(known)]


def same_version(version: str, others: Sequence[str]) -> str | None:
    """Returns another spelling of the same version among `others` (`1.0` and `1.0.0`), or None."""
    for other in others:
        if other != version and Version(other) == Version(version):
            return other
    return None


def unknown(kind: str, name: str, known: Sequence[str], where: str) -> ConfigError:
    """Builds the error for a model or version that does not exist, with what does."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if not known:
        hint = f"the store holds no {kind} there yet; publish one with `assay store publish`"
    else:
        shown = ", ".join(repr(item) for item in known[-12:])
        hint = f"expected one of {shown}" + (" (the newest 12)" if len(known) > 12 else "")
    meant = f"; did you mean {' or '.join(repr(item) for item in near)}?" if near else ""
    return ConfigError(f"{where}: no {kind} {name!r}; {hint}{meant}")


Sha256Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=0, le=2**50, strict=True)]


def _allowed_name(name: str) -> str:
    if not is_allowed(name):
        raise ValueError("not a file name that an artifact may hold")
    return name


class FileEntry(Document):
    """One file of a version: its size in bytes and the hex SHA-256 of its bytes."""

    size: Size
    sha256: Sha256Hex


class Manifest(Document):
    """Every file of a version but the seals; its canonical bytes are the artifact's identity."""

    schema_version: Literal[1] = 1
    files: dict[Annotated[str, AfterValidator(_allowed_name)], FileEntry] = Field(
        min_length=1, max_length=1024
    )

    def canonical(self) -> bytes:
        """Returns the bytes of `manifest.json` (RFC 8785)."""
        return digests.canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """The artifact digest."""
        return digests.of_bytes(self.canonical())

    @property
    def size_bytes(self) -> int:
        """Sum of the sizes of all files."""
        return sum(entry.size for entry in self.files.values())

    def difference(self, other: "Manifest") -> list[str]:
        """Names the files that are not the same in both, sorted."""
        names = self.files.keys() | other.files.keys()
        return sorted(n for n in names if self.files.get(n) != other.files.get(n))


class Metadata(Document):
    """Where a model comes from (`metadata.json`).

    The one document that is open to further fields: a training pipeline may add facts of its own.
    They are signed and shown, and nothing is decided by them.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    schema_version: Literal[1] = 1
    model_name: str
    version: str
    created_at: AwareDatetime
    base_model: str | None = None
    training_date: str | None = None
    quantization: JsonValue = None
    git_commit: str | None = None
    licence: str | None = None


def complete_metadata(
    given: Mapping[str, Any], *, model: str, version: str, created_at: str, quantization: str
) -> dict[str, Any]:
    """Fills what a publisher need not write into `metadata.json`; what is written wins."""
    return {
        "schema_version": 1,
        "model_name": model,
        "version": version,
        "created_at": created_at,
        "quantization": quantization,
        **given,
    }


class ReleasePredicate(Document):
    """What a publisher states about an artifact: which release it is.

    `sequence` counts the publications of a model from 1: a later release has a higher one.
    """

    schema_version: Literal[1] = 1
    model: str
    version: str
    chat_template_sha256: Sha256Hex | None
    sequence: int = Field(ge=1, le=2**53, strict=True)
    created_at: AwareDatetime


class SubjectDigest(Document):
    """The digest of an in-toto subject."""

    sha256: Sha256Hex


class Subject(Document):
    """The in-toto subject: the artifact."""

    name: str
    digest: SubjectDigest


class ReleaseManifest(Document):
    """The in-toto statement inside `release.json`."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[Subject]
    predicate_type: Literal["urn:assay:release:v1"] = Field(alias="predicateType")
    predicate: ReleasePredicate

    @property
    def artifact_digest(self) -> str:
        """The digest of the artifact that was released."""
        return f"sha256:{self.subject[0].digest.sha256}"

    def canonical(self) -> bytes:
        """Returns the bytes that are signed (RFC 8785)."""
        return digests.canonical_json(self.model_dump(mode="json", by_alias=True))


def release_manifest(
    *,
    model: str,
    version: str,
    digest: str,
    chat_template_sha256: str | None,
    sequence: int,
    created_at: datetime,
) -> ReleaseManifest:
    """Builds the statement that a publisher signs for one version."""
    return ReleaseManifest.model_validate(
        {
            "_type": STATEMENT_TYPE,
            "predicateType": RELEASE_PREDICATE,
            "subject": [
                {
                    "name": f"{model}/{version}",
                    "digest": {"sha256": digest.removeprefix("sha256:")},
                }
            ],
            "predicate": {
                "model": model,
                "version": version,
                "chat_template_sha256": chat_template_sha256,
                "sequence": sequence,
                "created_at": created_at,
            },
        }
    )
