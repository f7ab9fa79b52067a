"""Makes keys, and signs small statements as DSSE envelopes (securesystemslib).

Decides how a private key is kept and used; what is signed is the caller's, and whether a signature
counts is `assay.envelopes`'.
"""

import hashlib
import json
from pathlib import Path

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
)
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]

from assay.adapters.exclusive_files import write_exclusive
from assay.envelopes import PAYLOAD_TYPE
from assay.errors import ConfigError


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
