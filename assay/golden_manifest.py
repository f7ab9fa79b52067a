"""The signed manifest of a golden version: what was published, from what, by whom and why.

Decides what the publisher of a golden set states and what a reader may believe; signing is
`signer_dsse`'s. The statement names the files by SHA-256 and the set by its digest, so a
manifest of one version cannot be put beside the data of another.
"""

from typing import Literal

from pydantic import AwareDatetime, Field

from assay import digests
from assay.artifact import STATEMENT_TYPE, Subject
from assay.documents import Document, parse_json, validate
from assay.envelopes import verify_statement
from assay.errors import ArtifactError
from assay.golden_frozen import DIGEST_FILE, SEMANTIC_VERSION, FrozenGolden
from assay.golden_trust import GoldenTrust
from assay.trust import TrustedKeys

MANIFEST_FILE = "golden.manifest.json"
GOLDEN_PREDICATE = "urn:assay:golden:v1"
_MEND = (
    "publish the version again with `assay golden publish`, or list the curator's key under "
    "`golden.curators` in trust.yaml if you know whose it is"
)
Digest = str


class BaseVersion(Document):
    """The version that this one replaces."""

    version: str = Field(pattern=SEMANTIC_VERSION)
    digest: Digest = Field(pattern="^sha256:[0-9a-f]{64}$")


class GoldenPredicate(Document):
    """What is stated about one golden version."""

    schema_version: Literal[1] = 1
    frozen: FrozenGolden
    base: BaseVersion
    files: dict[str, Digest] = Field(description="File beside the set → digest of its bytes.")
    changes: dict[str, int] = Field(description="How many cases changed in which way.")
    why: str = Field(min_length=1)
    who: str
    proposal: Digest = Field(description="Digest of base and cases: which proposal this was.")
    signed_at: AwareDatetime


class GoldenStatement(Document):
    """The in-toto statement: its subject is the frozen golden file."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[Subject]
    predicate_type: Literal["urn:assay:golden:v1"] = Field(alias="predicateType")
    predicate: GoldenPredicate

    def canonical(self) -> bytes:
        """Returns the bytes that are signed (RFC 8785)."""
        return digests.canonical_json(self.model_dump(mode="json", by_alias=True))


def statement(predicate: GoldenPredicate) -> GoldenStatement:
    """Returns the statement of a predicate."""
    return GoldenStatement.model_validate(
        {
            "_type": STATEMENT_TYPE,
            "subject": [
                {
                    "name": f"golden/{predicate.frozen.version}",
                    "digest": {"sha256": predicate.frozen.golden.sha256},
                }
            ],
            "predicateType": GOLDEN_PREDICATE,
            "predicate": predicate,
        }
    )


def proposal_digest(base: str, golden: str) -> str:
    """Returns what identifies a proposal: the set it began with and the set it ends with."""
    return digests.of_json({"base": base, "golden": golden})


def verify_manifest(
    envelope: bytes, frozen: FrozenGolden, trusted: TrustedKeys, where: str
) -> GoldenPredicate:
    """Proves that a trusted key published exactly this frozen set.

    Args:
        envelope: the bytes of `golden.manifest.json`.
        frozen: what `golden.digest.json` says beside it.
        trusted: whose signatures count (`golden_trust`).
        where: what the envelope is, for messages.

    Raises:
        ArtifactError: nobody trusted signed it, or it is another set's manifest.
    """
    payload, key = verify_statement(envelope, trusted, where, mend=_MEND)
    stated = validate(parse_json(payload.decode(), where), GoldenStatement, where).predicate
    if why := key.why_not(stated.signed_at):
        raise ArtifactError(
            f"{where}: {why}; expected a key that was valid then; {_MEND} [untrusted-key]"
        )
    if stated.frozen != frozen:
        raise ArtifactError(
            f"{where}: is the manifest of version {stated.frozen.version!r} with "
            f"{stated.frozen.golden.digest}; expected {frozen.version!r} with "
            f"{frozen.golden.digest}, as {DIGEST_FILE} says beside it: either was changed after it "
            f"was published; restore both from Git, or, if you rebuilt the set, {_MEND} "
            "[golden-manifest]"
        )
    return stated


def published(
    envelope: bytes | None, frozen: FrozenGolden, trust: GoldenTrust, where: str
) -> GoldenPredicate | None:
    """Returns what a trusted key stated about a frozen set; None where nobody stated anything.

    Args:
        envelope: the bytes of `golden.manifest.json`; None where there is none.
        frozen: what `golden.digest.json` says beside it.
        trust: whose signatures count, and whether there must be one.
        where: where the manifest is, or would be, for messages.

    Raises:
        ArtifactError: the manifest is required and missing, nobody trusted signed it, or it is
            another set's.
    """
    if envelope is not None:
        return verify_manifest(envelope, frozen, trust.keys, where)
    if trust.required:
        raise unpublished(f"{where}: no such file")
    return None


def unpublished(what: str) -> ArtifactError:
    """Returns the error of a set without a manifest where one is required."""
    return ArtifactError(
        f"{what}; the trust file requires a signed manifest (golden.manifest: required), so that "
        "only published sets judge; publish it with `assay golden publish`, name a published "
        "version, or relax the trust file [golden-unpublished]"
    )
