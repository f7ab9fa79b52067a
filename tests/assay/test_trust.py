"""The trusted keys: pinned in configuration, each with a validity."""

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from assay.adapters.signer_model_signing import generate_keypair
from assay.errors import ConfigError
from assay.trust import TrustedKeys
from tests.artifact_factory import Keys, make_keys


def document(folder: Path, *entries: str) -> Path:
    path = folder / "trust.yaml"
    path.write_text("schema_version: 1\nkeys:\n" + "".join(f"  - {entry}\n" for entry in entries))
    return path


def test_keys_are_read_relative_to_the_document(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys", "one")
    make_keys(tmp_path / "keys", "two")
    trusted = TrustedKeys.load(
        document(
            tmp_path,
            "{name: new, public_key: keys/one.pub, valid_from: 2026-01-01T00:00:00Z}",
            "{name: old, public_key: keys/two.pub, revoked: true}",
        )
    )
    assert [key.name for key in trusted.keys] == ["new", "old"]
    assert trusted.keys[0].valid_from == datetime(2026, 1, 1, tzinfo=UTC)
    assert trusted.by_id(trusted.keys[1].key_id) == trusted.keys[1]
    assert trusted.by_id("0" * 64) is None


@pytest.mark.parametrize(
    ("extra", "when", "reason"),
    [
        ("", 2020, None),
        (", valid_from: 2026-01-01T00:00:00Z", 2025, "valid from"),
        (", valid_from: 2026-01-01T00:00:00Z", 2027, None),
        (", valid_until: 2026-01-01T00:00:00Z", 2025, None),
        (", valid_until: 2026-01-01T00:00:00Z", 2027, "valid until"),
        (", revoked: true", 2020, "revoked"),
    ],
)
def test_a_key_vouches_only_within_its_validity(
    tmp_path: Path, extra: str, when: int, reason: str | None
) -> None:
    make_keys(tmp_path, "k")
    trusted = TrustedKeys.load(document(tmp_path, f"{{name: k, public_key: k.pub{extra}}}"))
    found = trusted.keys[0].why_not(datetime(when, 6, 1, tzinfo=UTC))
    assert (found is None) if reason is None else (found is not None and reason in found)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["{name: k, public_key: nowhere.pub}"], "no such file"),
        (["{name: k, public_key: k.key}"], "not a public key"),
        (["{name: k, public_key: k.pub, colour: red}"], "colour"),
        (["{name: k, public_key: k.pub, valid_from: 2026-01-01}"], "valid_from"),
        (["{name: k, public_key: k.pub}", "{name: k, public_key: l.pub}"], "same name"),
        (["{name: k, public_key: k.pub}", "{name: l, public_key: k.pub}"], "same public key"),
        (["{name: k, public_key: ed.pub}"], "P-256"),
        (["{name: k, public_key: koblitz.pub}"], "P-256"),
        (
            ["{name: k, public_key: k.pub, valid_from: 2026-01-02T00:00:00Z, "
             "valid_until: 2026-01-01T00:00:00Z}"],
            "not before",
        ),
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_trusted_is_a_wrong_setting(
    tmp_path: Path, entries: list[str], message: str
) -> None:
    make_keys(tmp_path, "k")
    make_keys(tmp_path, "l")
    others = {
        "ed": ed25519.Ed25519PrivateKey.generate().public_key(),
        "koblitz": ec.generate_private_key(ec.SECP256K1()).public_key(),
    }
    for name, key in others.items():
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / f"{name}.pub").write_bytes(pem)
    with pytest.raises(ConfigError, match=message):
        TrustedKeys.load(document(tmp_path, *entries))


def test_no_keys_at_all_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "trust.yaml").write_text("schema_version: 1\nkeys: []\n")
    with pytest.raises(ConfigError, match="keys"):
        TrustedKeys.load(tmp_path / "trust.yaml")


def test_a_private_key_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keys = make_keys(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(keys.private.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.public.stat().st_mode) == 0o644
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["release.key", "release.pub"]


@pytest.mark.parametrize("taken", ["release.key", "release.pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("precious")
    keys = Keys(tmp_path / "release.key", tmp_path / "release.pub")
    with pytest.raises(ConfigError, match="never overwritten"):
        generate_keypair(keys.private, keys.public)
    assert [path.name for path in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken).read_text() == "precious"
