"""Signs and verifies small statements as DSSE envelopes (securesystemslib).

Decides that bytes were signed by a pinned key; what the bytes say is left to the caller, who looks
at them only after this has vouched for them.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey  # type: ignore[attr-defined]

from assay.adapters.exclusive_files import write_exclusive
from assay.documents import parse_json
from assay.errors import ArtifactError, ConfigError
from assay.trust import TrustedKey, TrustedKeys

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_ENVELOPE = 64 * 2**10


def generate_keypair(private_path: Path, public_path: Path) -> None:
    """Makes an EC key pair on P-256, in PEM; the private key is readable by its owner only.

    Raises:
        ConfigError: one of the files exists, or cannot be written.
    """
    for path in (private_path, public_path):
        if path.exists() or path.is_symlink():
            raise ConfigError(
                f"{path}: exists already, and a key is never overwritten; choose another name"
            )
    key = generate_private_key(SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_exclusive(private_path, private, mode=0o600)
    write_exclusive(public_path, public, mode=0o644)


def load_private_key(path: Path) -> tuple[EllipticCurvePrivateKey, str]:
    """Reads a private key and returns it with its key id (see `TrustedKey.key_id`).

    Raises:
        ConfigError: no such file, or no unencrypted EC key (P-256 or P-384) in PEM.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); name the private key, or make a pair with "
            "`assay store keygen`"
        ) from None
    except (ValueError, TypeError):
        raise ConfigError(
            f"{path}: not an unencrypted private key in PEM; make one with `assay store keygen`"
        ) from None
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(
        key.curve, SECP256R1 | SECP384R1
    ):
        raise ConfigError(f"{path}: expected an EC key on P-256 or P-384; make another key")
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return key, hashlib.sha256(pem).hexdigest()


def sign_statement(payload: bytes, private_key: Path) -> bytes:
    """Returns a DSSE envelope, as JSON, over an in-toto statement.

    Raises:
        ConfigError: the key cannot be used.
    """
    key, key_id = load_private_key(private_key)
    signer = CryptoSigner(key, SSlibKey.from_crypto(key.public_key(), key_id))
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return json.dumps(envelope.to_dict(), sort_keys=True, indent=1).encode() + b"\n"


def verify_statement(envelope: bytes, trusted: TrustedKeys, where: str) -> tuple[bytes, TrustedKey]:
    """Returns the payload of an envelope that a pinned key has signed, and that key.

    Validity in time is left to the caller, who learns the time of signing from the payload.

    Args:
        envelope: the bytes of the envelope.
        trusted: the pinned keys.
        where: what the envelope is, for the message.

    Raises:
        ArtifactError: not an envelope, or no pinned key signed it.
    """
    parsed = _parse(envelope, where)
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
    known = ", ".join(repr(key.name) for key in trusted.keys)
    raise ArtifactError(
        f"{where}: no trusted key signed it (trusted: {known}; it names key "
        f"{', '.join(sorted(named))[:130] or 'none'}); publish it again with a trusted key, or add "
        "the signer's public key to trust.yaml if you know whose it is [untrusted-key]"
    )


def _parse(envelope: bytes, where: str) -> Envelope:
    problem = ""
    try:
        if len(envelope) > MAX_ENVELOPE:
            raise ValueError(f"larger than {MAX_ENVELOPE} bytes")
        parsed = Envelope.from_dict(parse_json(envelope.decode("utf-8"), where))
    except (ConfigError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = str(error) or type(error).__name__
    else:
        if parsed.payload_type == PAYLOAD_TYPE:
            return parsed
        problem = f"its payload is {parsed.payload_type!r}, expected {PAYLOAD_TYPE!r}"
    raise ArtifactError(
        f"{where}: not a signed statement ({problem[:200]}); publish the version again [envelope]"
    )
