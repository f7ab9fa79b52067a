"""Opens DSSE envelopes (securesystemslib): who signed these bytes?

Decides that bytes were signed by a pinned key; what the bytes say is left to the caller, who looks
at them only after this has vouched for them. Making envelopes is `signer_dsse`'s.
"""

from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import Key, SSlibKey  # type: ignore[attr-defined]

from assay.documents import parse_json
from assay.errors import ArtifactError, ConfigError
from assay.trust import TrustedKey, TrustedKeys

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_ENVELOPE = 64 * 2**10
_PUBLISH = (
    "publish it again with a trusted key, or add the signer's public key to trust.yaml if you know "
    "whose it is"
)


def verify_statement(
    envelope: bytes,
    trusted: TrustedKeys,
    where: str,
    *,
    mend: str = _PUBLISH,
    max_bytes: int = MAX_ENVELOPE,
) -> tuple[bytes, TrustedKey]:
    """Returns the payload of an envelope that a pinned key has signed, and that key.

    Validity in time is left to the caller, who learns the time of signing from the payload.

    Args:
        envelope: the bytes of the envelope.
        trusted: the pinned keys.
        where: what the envelope is, for the message.
        mend: what the reader can do when no pinned key signed it.
        max_bytes: a larger envelope is not read.

    Raises:
        ArtifactError: not an envelope, or no pinned key signed it.
    """
    parsed = _parse(envelope, where, max_bytes)
    named = {signature.keyid for signature in parsed.signatures.values()}
    keys = [key for key in trusted.keys if key.key_id in named]
    candidates: list[Key] = [
        SSlibKey.from_crypto(load_pem_public_key(k.pem), k.key_id) for k in keys
    ]
    try:
        accepted: dict[str, Any] = parsed.verify(candidates, 1) if candidates else {}
    except (VerificationError, ValueError):
        accepted = {}
    for key in keys:
        if key.key_id in accepted:
            return parsed.payload, key
    known = ", ".join(repr(key.name) for key in trusted.keys) or "none"
    raise ArtifactError(
        f"{where}: no trusted key signed it (trusted: {known}; it names key "
        f"{', '.join(sorted(named))[:130] or 'none'}); {mend} [untrusted-key]"
    )


def _parse(envelope: bytes, where: str, max_bytes: int) -> Envelope:
    problem = ""
    try:
        if len(envelope) > max_bytes:
            raise ValueError(f"larger than {max_bytes} bytes")
        parsed = Envelope.from_dict(parse_json(envelope.decode("utf-8"), where))
        if not all(isinstance(one.keyid, str) for one in parsed.signatures.values()):
            raise ValueError("a signature names no key")
    except (ConfigError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = str(error) or type(error).__name__
    else:
        if parsed.payload_type == PAYLOAD_TYPE:
            return parsed
        problem = f"its payload is {parsed.payload_type!r}, expected {PAYLOAD_TYPE!r}"
    raise ArtifactError(f"{where}: not a signed statement ({problem[:200]}) [envelope]")
