"""Whether a release may follow the one in production: an older model must not come back as a newer.

Decides it by the publications' signed order alone. That a release manifest is signed, and for this
very model and version, is the store's to verify.
"""

import base64
from pathlib import Path

from packaging.version import Version

from assay.artifact import ReleaseManifest
from assay.documents import parse_json, read_text, validate
from assay.errors import ArtifactError
from assay.records import PulledArtifact


def check_succession(candidate: PulledArtifact, production: PulledArtifact) -> None:
    """Refuses a candidate that was released before production but calls itself its successor.

    Production's sequence can be relied on: its publisher signed it for the very artifact digest
    that the registry holds. A candidate of a lower version may be older: going back is no secret.

    Raises:
        ArtifactError: the same version in other bytes, or a higher one that was signed earlier.
    """
    one, other = candidate.ref, production.ref
    if one.digest == other.digest or candidate.sequence is None or production.sequence is None:
        return
    where = f"{one.model}/{one.version}"
    if Version(one.version) == Version(other.version):
        raise ArtifactError(
            f"{where}: production {other.version} is {other.digest[:19]}…, this is another "
            f"artifact ({one.digest[:19]}…) under the same version; a version never changes: "
            "publish it under a higher version [version-twin]"
        )
    if Version(one.version) > Version(other.version) and candidate.sequence <= production.sequence:
        raise ArtifactError(
            f"{where}: was signed as publication {candidate.sequence} of {one.model}, production "
            f"{other.version} as publication {production.sequence}; expected a later one: an older "
            "model must not come back as a newer one; publish it again under a higher version, and "
            "look who put it there [replay]"
        )


def released_sequence(release: Path) -> int | None:
    """Reads the sequence from a release manifest that was verified before; None without one.

    Raises:
        ConfigError: the file is no release manifest.
    """
    if not release.is_file():
        return None
    envelope = parse_json(read_text(release), release.name)
    # Sigstore's bundles hold the same envelope, one level down.
    payload = envelope.get("dsseEnvelope", envelope)["payload"]
    value = parse_json(base64.b64decode(payload).decode("utf-8"), release.name)
    return validate(value, ReleaseManifest, release.name).predicate.sequence
