"""Verifies what a Sigstore identity signed without a key of its own ("keyless").

Decides that a bundle was signed by a pinned identity, as attested by its issuer and recorded in the
transparency log. Sigstore's roots are fetched from the network unless `trust_config` names them: a
machine that cannot fetch them knows nothing about the signature, which is never good enough.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.documents import parse_json
from assay.errors import ArtifactError, ConfigError, InfrastructureError
from assay.trust import TrustedKey
from assay.trust_authorities import Identity

_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"


def is_bundle(envelope: bytes) -> bool:
    """Whether bytes call themselves a Sigstore bundle, rather than a bare envelope."""
    try:
        value = parse_json(envelope.decode("utf-8"), "bundle")
    except (ConfigError, UnicodeDecodeError):
        return False
    return isinstance(value, dict) and str(value.get("mediaType", "")).startswith(_MEDIA_TYPE)


def verify_keyless(
    envelope: bytes, identities: Sequence[Identity], where: str
) -> tuple[bytes, TrustedKey]:
    """Returns the payload that a pinned identity signed, and that identity as a signer.

    Raises:
        ArtifactError: no pinned identity signed it, or it is no such bundle.
        InfrastructureError: Sigstore's roots cannot be had, so nothing is known.
    """
    from sigstore.errors import VerificationError
    from sigstore.models import Bundle, InvalidBundle
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity as IdentityPolicy

    reasons = []
    for identity in identities:
        config = trust_config(identity)
        policy = IdentityPolicy(identity=identity.identity, issuer=identity.issuer)
        try:
            verifier = Verifier(trusted_root=config.trusted_root)
            kind, payload = verifier.verify_dsse(Bundle.from_json(envelope), policy)
        except (VerificationError, InvalidBundle, ValueError) as error:
            reasons.append(f"{identity.name!r}: {str(error)[:160] or type(error).__name__}")
            continue
        if kind == _PAYLOAD_TYPE:
            return payload, TrustedKey(name=identity.name, pem=b"", key_id="", identity=identity)
        reasons.append(f"{identity.name!r}: its payload is {kind!r}, expected {_PAYLOAD_TYPE!r}")
    raise ArtifactError(
        f"{where}: no trusted identity signed it ({'; '.join(reasons) or 'none is listed'}); sign "
        "it again with a trusted one, or list the signer under `identities` in trust.yaml if you "
        "know whose it is [untrusted-key]"
    )


def trust_config(identity: Identity) -> Any:
    """Returns Sigstore's roots: those that are configured, or the public ones from the network.

    Raises:
        ConfigError: the configured file is none.
        InfrastructureError: the public ones cannot be fetched.
    """
    from sigstore.models import ClientTrustConfig

    if identity.trust_config is not None:
        return _configured(identity.trust_config)
    try:
        return ClientTrustConfig.production()
    # The TUF client below raises errors of its own, of its network library and of the system.
    except Exception as error:
        raise InfrastructureError(
            f"identity {identity.name!r}: Sigstore's roots cannot be fetched "
            f"({type(error).__name__}: {str(error)[:160]}), so a keyless signature cannot be "
            "verified; go online, or name a trust_config in trust.yaml"
        ) from error


def _configured(path: Path) -> Any:
    from sigstore.models import ClientTrustConfig

    try:
        return ClientTrustConfig.from_json(path.read_text("utf-8"))
    except Exception as error:  # the library's parser promises no class
        raise ConfigError(
            f"{path}: not a Sigstore trust configuration ({type(error).__name__}); expected the "
            "JSON of a ClientTrustConfig; ask whoever runs your Sigstore for it"
        ) from error
