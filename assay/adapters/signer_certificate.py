"""Which key a certificate beside a signature speaks for, if a pinned authority vouches for it.

Decides that a chain of certificates ends at a pinned root, that its subject may release models, and
from when to when its key counts; from there on the key is a trusted key like any other. The chain
is checked as of the certificate's own beginning, since what it signed while it was valid stays
good: the time that the release manifest states is held against its validity afterwards.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from OpenSSL import crypto

from assay.documents import parse_json
from assay.errors import ConfigError
from assay.trust import TrustedKey, TrustedKeys
from assay.trust_authorities import Authority

_MAX_CHAIN = 8


def with_certified(trusted: TrustedKeys, signature: bytes) -> TrustedKeys:
    """Adds the key of a signature's certificate, if a pinned authority vouches for it.

    Args:
        trusted: the pinned keys and authorities.
        signature: the bytes of `model.sig`, which need not be one.
    """
    chain = _chain_of(signature) if trusted.authorities else []
    key = certified_key(chain, trusted.authorities) if chain else None
    return trusted if key is None else replace(trusted, keys=(*trusted.keys, key))


def certified_key(
    chain: Sequence[x509.Certificate], authorities: Sequence[Authority]
) -> TrustedKey | None:
    """Returns the key of a chain's first certificate, or None where no authority vouches for it."""
    leaf = chain[0]
    public = leaf.public_key()
    subject = _subject(leaf)
    if not isinstance(public, EllipticCurvePublicKey) or not isinstance(
        public.curve, SECP256R1 | SECP384R1
    ):
        return None
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for authority in authorities:
        if subject in authority.subjects and _may_sign(leaf) and _ends_at(authority, chain):
            return TrustedKey(
                name=f"{authority.name}: {subject}",
                pem=pem,
                key_id=hashlib.sha256(pem).hexdigest(),
                valid_from=leaf.not_valid_before_utc,
                valid_until=leaf.not_valid_after_utc,
                revoked=leaf.fingerprint(hashes.SHA256()).hex() in authority.revoked,
                authority=authority,
            )
    return None


def read_chain(path: Path) -> list[x509.Certificate]:
    """Reads a signer's certificate and its intermediates, in PEM, the signer's own first.

    Raises:
        ConfigError: no such file, or no certificates.
    """
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        raise ConfigError(
            f"{path}: holds no certificates in PEM; name the signer's certificate, followed by its "
            "intermediates"
        ) from None


def _chain_of(signature: bytes) -> list[x509.Certificate]:
    try:
        bundle = parse_json(signature.decode("utf-8"), "model.sig")
        raw = bundle["verificationMaterial"]["x509CertificateChain"]["certificates"]
        return [
            x509.load_der_x509_certificate(base64.b64decode(one["rawBytes"], validate=True))
            for one in raw[:_MAX_CHAIN]
        ]
    except (ConfigError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _subject(leaf: x509.Certificate) -> str | None:
    names = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else None


def _may_sign(leaf: x509.Certificate) -> bool:
    """Whether a certificate is for signatures, and is not an authority's own."""
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
        basic = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return usage.digital_signature and not basic.ca


def _ends_at(authority: Authority, chain: Sequence[x509.Certificate]) -> bool:
    store = crypto.X509Store()
    for certificate in x509.load_pem_x509_certificates(authority.pem):
        store.add_cert(crypto.X509.from_cryptography(certificate))
    store.set_time(chain[0].not_valid_before_utc)
    leaf, *others = map(crypto.X509.from_cryptography, chain)
    try:
        crypto.X509StoreContext(store, leaf, others).verify_certificate()
    except crypto.X509StoreContextError:
        return False
    return True
