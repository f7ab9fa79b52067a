"""Signs and verifies a model's folder as an OpenSSF model signature (model-signing).

Decides that the files of a folder are those that a pinned key signed: all of them, byte for byte,
and no other. The library reads what to ignore and how to hash from the signature itself, so its
word is not taken for that: the files that the signature covers are compared with those expected.
Which model and version the files are is bound elsewhere (`artifact.ReleaseManifest`).
"""

import base64
import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from model_signing import signing, verifying

from assay.adapters.signer_dsse import generate_keypair, load_private_key
from assay.documents import parse_json
from assay.errors import ArtifactError, ConfigError
from assay.trust import TrustedKey

__all__ = ["MAX_SIGNATURE", "generate_keypair", "sign_folder", "verify_folder"]

MAX_SIGNATURE = 2**20


def sign_folder(
    folder: Path, signature: Path, private_key: Path, certificate: Path | None = None
) -> None:
    """Signs every file of a folder.

    Args:
        folder: the folder; nobody else may be changing it.
        signature: where the signature is written, outside the folder.
        private_key: an EC key in PEM.
        certificate: the key's certificate and its intermediates, where an authority vouches for it.

    Raises:
        ConfigError: the key cannot be used.
    """
    load_private_key(private_key)
    config = signing.Config()  # type: ignore[no-untyped-call]
    if certificate is None:
        config.use_elliptic_key_signer(private_key=private_key)
    else:
        config.use_certificate_signer(
            private_key=private_key,
            signing_certificate=certificate,
            certificate_chain=[certificate],
        )
    config.sign(folder, signature)


def verify_folder(
    folder: Path, signature: Path, key: TrustedKey, expected: Mapping[str, str]
) -> None:
    """Verifies that a folder holds exactly the files that a key signed.

    Args:
        folder: a private copy of the files.
        signature: the signature, outside the folder.
        key: the one key that may have signed it.
        expected: file name → hex SHA-256 of every file that the signature must cover.

    Raises:
        ArtifactError: for whatever reason it cannot be shown that they are.
    """
    with tempfile.TemporaryDirectory(prefix="assay-key-") as private:
        try:
            covered = _covered_files(signature, key)
            _verifier(key, Path(private)).verify(folder, signature)
        # The library's errors share no class, and some carry no message: any of them means that
        # nothing has been shown.
        except Exception as error:
            said = str(error) or type(error).__name__
            raise ArtifactError(
                f"{signature.name}: the signature does not fit the files ({said[:300]}); the "
                f"version was changed after signing or not signed by {key.name!r}; publish it "
                "again from its source [signature]"
            ) from None
    if covered != expected:
        names = covered.keys() | expected.keys()
        wrong = sorted(n for n in names if covered.get(n) != expected.get(n))
        raise ArtifactError(
            f"{signature.name}: the signature does not cover {', '.join(wrong[:5])} as "
            "the manifest states it; publish the version again from its source [signature-cover]"
        )


def _verifier(key: TrustedKey, private: Path) -> verifying.Config:
    """Configures the library for the one signer that counts; its files go to a private folder."""
    config = verifying.Config()  # type: ignore[no-untyped-call]
    pem = private / "trusted.pem"
    if key.identity is not None:
        one = key.identity
        return config.use_sigstore_verifier(
            identity=one.identity, oidc_issuer=one.issuer, trust_config=one.trust_config
        )
    if key.authority is not None:
        pem.write_bytes(key.authority.pem)
        return config.use_certificate_verifier(certificate_chain=[pem])
    pem.write_bytes(key.pem)
    return config.use_elliptic_key_verifier(public_key=pem)


def _covered_files(signature: Path, key: TrustedKey) -> dict[str, str]:
    """Reads which files a bundle covers; true only once the library has verified the bundle.

    Raises:
        ValueError, KeyError, TypeError: not a bundle of the one form that is accepted.
    """
    if signature.stat().st_size > MAX_SIGNATURE:
        raise ValueError(f"larger than {MAX_SIGNATURE} bytes")
    try:
        bundle = parse_json(signature.read_text("utf-8"), signature.name)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    _check_material(bundle["verificationMaterial"], key)
    if len(bundle["dsseEnvelope"]["signatures"]) != 1:
        raise ValueError("expected exactly one signature")
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"], validate=True)
    statement: dict[str, Any] = parse_json(payload.decode("utf-8"), signature.name)
    if statement["predicateType"] != "https://model_signing/signature/v1.0":
        raise ValueError(f"unexpected predicate {statement['predicateType']!r}")
    serialization = statement["predicate"]["serialization"]
    wanted = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
    if any(serialization.get(name) != value for name, value in wanted.items()):
        raise ValueError("not signed file by file with SHA-256")
    covered: dict[str, str] = {}
    for resource in statement["predicate"]["resources"]:
        if resource["name"] in covered or resource["algorithm"] != "sha256":
            raise ValueError(f"file {resource['name']!r} twice, or not hashed with SHA-256")
        covered[resource["name"]] = resource["digest"]
    return covered


def _check_material(material: Mapping[str, Any], key: TrustedKey) -> None:
    """Refuses a bundle that names another signer than the one that the release manifest has."""
    if key.authority is not None:
        leaf = base64.b64decode(material["x509CertificateChain"]["certificates"][0]["rawBytes"])
        if _key_id(leaf) != key.key_id:
            raise ValueError("signed with another certificate")
    # Without a hint the library would print a warning and go on.
    elif key.identity is None and material["publicKey"]["hint"] != key.key_id:
        raise ValueError("signed with another key")


def _key_id(certificate: bytes) -> str:
    public = x509.load_der_x509_certificate(certificate).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()
