"""Models signed with a company's certificates: whom a pinned authority may speak for, and when."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from assay.adapters.in_memory_store import InMemoryStore, InMemoryTransport
from assay.errors import ArtifactError, ConfigError, InfrastructureError
from assay.trust import TrustedKeys
from tests.artifact_factory import make_artifact, make_keys

NOW = datetime(2026, 7, 1, tzinfo=UTC)


class Authority:
    """A certificate authority with a root and an intermediate, made for one test."""

    def __init__(self, folder: Path, name: str = "acme") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.root_key, self.middle_key = (ec.generate_private_key(ec.SECP256R1()) for _ in "ab")
        self.root = self._certificate(f"{name} root", self.root_key, None, ca=True)
        self.middle = self._certificate(
            f"{name} issuing", self.middle_key, (self.root, self.root_key), ca=True
        )
        self.pem = folder / f"{name}.pem"
        self.pem.write_bytes(self.root.public_bytes(Encoding.PEM))

    def _certificate(
        self,
        subject: str,
        key: ec.EllipticCurvePrivateKey,
        issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
        *,
        ca: bool = False,
        signs: bool = True,
        begins: datetime = NOW - timedelta(days=100),
        ends: datetime = NOW + timedelta(days=100),
    ) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        usage = x509.KeyUsage(
            digital_signature=signs, content_commitment=False, key_encipherment=not signs,
            data_encipherment=False, key_agreement=False, key_cert_sign=ca, crl_sign=ca,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer[0].subject if issuer else name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(issuer[1] if issuer else key, hashes.SHA256())
        )

    def issue(self, subject: str = "model-release", **changes: object) -> "Signer":
        """Issues a certificate for a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self._certificate(subject, key, (self.middle, self.middle_key), **changes)  # type: ignore[arg-type]
        stem = f"{len(list(self.folder.iterdir()))}"
        private, chain = self.folder / f"{stem}.key", self.folder / f"{stem}.crt"
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        chain.write_bytes(b"".join(c.public_bytes(Encoding.PEM) for c in (leaf, self.middle)))
        return Signer(private, chain, leaf)


class Signer:
    def __init__(self, private: Path, chain: Path, leaf: x509.Certificate) -> None:
        self.private, self.chain, self.leaf = private, chain, leaf


def trust(folder: Path, *, subjects: str = "model-release", revoked: str = "") -> TrustedKeys:
    path = folder / "trust.yaml"
    path.write_text(
        "schema_version: 1\nauthorities:\n"
        f"  - {{name: acme, certificates: ca/acme.pem, subjects: [{subjects}], "
        f"revoked: [{revoked}]}}\n"
    )
    return TrustedKeys.load(path)


class Rig:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder / "ca")
        self.transport = InMemoryTransport()
        self.trusted = trust(folder)

    def store(self, trusted: TrustedKeys | None = None, now: datetime = NOW) -> InMemoryStore:
        return InMemoryStore(trusted or self.trusted, transport=self.transport, clock=lambda: now)

    def publish(self, signer: Signer, *, now: datetime = NOW, trusted: object = None) -> str:
        source = make_artifact(self.folder / "source")
        store = self.store(trusted, now)  # type: ignore[arg-type]
        return store.publish(
            source, model="m", version="1.0.0",
            private_key=signer.private, certificate=signer.chain,
        ).digest  # fmt: skip

    def pull(self, trusted: TrustedKeys | None = None) -> str:
        return self.store(trusted).pull("m", "1.0.0", self.folder / "pulled").ref.digest


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_what_a_certified_key_signed_is_pulled(rig: Rig) -> None:
    digest = rig.publish(rig.authority.issue())
    assert rig.pull() == digest


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "somebody-else"},
        {"ca": True},
        {"signs": False},
        {"ends": NOW - timedelta(days=1)},
        {"begins": NOW + timedelta(days=1)},
    ],
)
def test_a_certificate_that_may_not_release_models_signs_nothing(
    rig: Rig, changes: dict[str, object]
) -> None:
    with pytest.raises(ConfigError, match="nobody could pull what this key signs"):
        rig.publish(rig.authority.issue(**changes))


def test_what_was_signed_before_the_certificate_ended_stays_good(rig: Rig) -> None:
    signer = rig.authority.issue(ends=NOW - timedelta(days=1))
    digest = rig.publish(signer, now=NOW - timedelta(days=2))
    assert rig.pull() == digest


def test_a_revoked_certificate_vouches_for_nothing(rig: Rig) -> None:
    signer = rig.authority.issue()
    rig.publish(signer)
    revoked = trust(rig.folder, revoked=signer.leaf.fingerprint(hashes.SHA256()).hex())
    with pytest.raises(ArtifactError, match="revoked"):
        rig.pull(revoked)


def test_a_subject_that_may_no_longer_release_is_refused(rig: Rig) -> None:
    rig.publish(rig.authority.issue())
    with pytest.raises(ArtifactError, match="untrusted-key"):
        rig.pull(trust(rig.folder, subjects="another-team"))


def test_another_authority_of_the_same_name_is_refused(rig: Rig) -> None:
    false = Authority(rig.folder / "false")
    signer = false.issue()
    theirs = rig.folder / "theirs"
    theirs.mkdir()
    (theirs / "ca").symlink_to(rig.folder / "false")
    rig.publish(signer, trusted=trust(theirs))
    with pytest.raises(ArtifactError, match="untrusted-key"):
        rig.pull()


def test_files_signed_with_another_certificate_than_the_release_are_refused(rig: Rig) -> None:
    rig.publish(rig.authority.issue())
    first = dict(rig.transport.files)
    rig.transport.files.clear()
    rig.publish(rig.authority.issue())
    rig.transport.files["m/1.0.0/release.json"] = first["m/1.0.0/release.json"]
    with pytest.raises(ArtifactError, match="untrusted-key"):
        rig.pull()


def test_a_certificate_of_another_key_is_a_wrong_setting(rig: Rig) -> None:
    one, other = rig.authority.issue(), rig.authority.issue()
    with pytest.raises(ConfigError, match="certifies another key"):
        rig.publish(Signer(one.private, other.chain, other.leaf))


def test_pinned_keys_count_beside_authorities(rig: Rig, tmp_path: Path) -> None:
    keys = make_keys(tmp_path, "release")
    path = tmp_path / "trust.yaml"
    path.write_text(path.read_text() + "keys:\n  - {name: release, public_key: release.pub}\n")
    both = TrustedKeys.load(path)
    source = make_artifact(rig.folder / "source")
    rig.store(both).publish(source, model="m", version="1.0.0", private_key=keys.private)
    assert rig.pull(both)


# ------------------------------------------------------------------------------------- keyless

BUNDLE = b'{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}'
IDENTITY = "{name: ci, identity: https://example.org/w, issuer: https://issuer.example.org%s}"


def keyless_trust(folder: Path, extra: str = "") -> TrustedKeys:
    path = folder / "keyless.yaml"
    path.write_text(f"schema_version: 1\nidentities:\n  - {IDENTITY % extra}\n")
    return TrustedKeys.load(path)


def test_a_keyless_signature_is_not_believed_offline(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("HOME", str(rig.folder))
    monkeypatch.setenv("XDG_DATA_HOME", str(rig.folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(rig.folder))
    rig.publish(rig.authority.issue())
    rig.transport.files["m/1.0.0/release.json"] = BUNDLE
    with pytest.raises(InfrastructureError, match="Sigstore's roots cannot be fetched"):
        rig.pull(keyless_trust(rig.folder))


def test_a_trust_configuration_that_is_none_is_a_wrong_setting(rig: Rig) -> None:
    rig.publish(rig.authority.issue())
    rig.transport.files["m/1.0.0/release.json"] = BUNDLE
    with pytest.raises(ConfigError, match="no such file"):
        keyless_trust(rig.folder, ", trust_config: nowhere.json")
    (rig.folder / "sigstore.json").write_text("{}")
    with pytest.raises(ConfigError, match="not a Sigstore trust configuration"):
        rig.pull(keyless_trust(rig.folder, ", trust_config: sigstore.json"))


def test_a_keyless_release_where_no_identity_is_trusted_is_refused(rig: Rig) -> None:
    rig.publish(rig.authority.issue())
    rig.transport.files["m/1.0.0/release.json"] = BUNDLE
    with pytest.raises(ArtifactError, match="not a signed statement"):
        rig.pull()
