"""Ways to alter a version in a store: bytes, envelopes, manifests, signatures.

Each returns what alters the honest world in a folder; which of them is refused for what is said in
`hostile_releases`.
"""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]

from assay import digests
from assay.adapters.signer_dsse import load_private_key, sign_statement
from tests.adversarial.corpus import copied
from tests.adversarial.world import keys, version
from tests.gate_rig import MODEL

Build = Callable[[Path], object]


# --- changed bytes --------------------------------------------------------------------------------


def flipped(name: str, at: int) -> Build:
    def build(folder: Path) -> None:
        path = version(folder) / name
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)

    return build


def written(name: str, data: bytes) -> Build:
    return lambda folder: (version(folder) / name).write_bytes(data)


def removed(name: str) -> Build:
    return lambda folder: (version(folder) / name).unlink()


def appended(name: str, data: bytes) -> Build:
    return lambda folder: (version(folder) / name).write_bytes(
        (version(folder) / name).read_bytes() + data
    )


def taken_from(other: str, *names: str, model: str = MODEL) -> Build:
    """Files of another version, each rightly signed where it came from."""

    def build(folder: Path) -> None:
        for name in names:
            source = version(folder, other, model) / name
            (version(folder) / name).write_bytes(source.read_bytes())

    return build


def moved_to(name: str, model: str = MODEL) -> Build:
    return lambda folder: copied(version(folder), version(folder, name, model))


def linked(folder: Path) -> None:
    path = version(folder) / "config.json"
    path.rename(folder / "config.json")
    path.symlink_to(folder / "config.json")


def folder_link(folder: Path) -> None:
    path = version(folder)
    (path / "inner").symlink_to(folder / "keys")


# --- envelopes ------------------------------------------------------------------------------------


def envelope_of(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((version(folder) / "release.json").read_bytes())
    return value


def envelope(change: Callable[[dict[str, Any]], object]) -> Build:
    def build(folder: Path) -> None:
        document = envelope_of(folder)
        change(document)
        (version(folder) / "release.json").write_text(json.dumps(document))

    return build


def payload(change: Callable[[dict[str, Any]], object], signer: str | None = None) -> Build:
    """The statement, changed; signed again by a key, or with the old signature left on it."""

    def build(folder: Path) -> None:
        document = envelope_of(folder)
        statement = json.loads(base64.b64decode(document["payload"]))
        change(statement)
        data = digests.canonical_json(statement)
        path = version(folder) / "release.json"
        if signer is None:
            document["payload"] = base64.b64encode(data).decode()
            path.write_text(json.dumps(document))
        else:
            path.write_bytes(sign_statement(data, keys(folder, signer).private))

    return build


def stated(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda statement: statement["predicate"].update(fields)


def other_payload_type(folder: Path) -> None:
    """Rightly signed, as something that is not an in-toto statement."""
    key, key_id = load_private_key(keys(folder, "release").private)
    signed = Envelope(base64.b64decode(envelope_of(folder)["payload"]), "text/plain", {})
    signed.sign(CryptoSigner(key, SSlibKey.from_crypto(key.public_key(), key_id)))
    (version(folder) / "release.json").write_text(json.dumps(signed.to_dict()))


def duplicate_key(folder: Path) -> None:
    """An envelope with two payloads: which one was signed?"""
    text = (version(folder) / "release.json").read_text()
    other = base64.b64encode(b"{}").decode()
    (version(folder) / "release.json").write_text(text.replace("{", f'{{"payload": "{other}",', 1))


def repeated_signatures(document: dict[str, Any]) -> None:
    document["signatures"] *= 1_000


def manifest_of(change: Callable[[dict[str, Any]], object]) -> Build:
    """A manifest that the release key really did sign for: the publisher itself is hostile."""

    def build(folder: Path) -> None:
        path = version(folder) / "manifest.json"
        document = json.loads(path.read_bytes())
        change(document)
        data = json.dumps(document).encode()
        path.write_bytes(data)
        subject = {"sha256": digests.of_bytes(data).removeprefix("sha256:")}
        payload(lambda s: s["subject"][0].update(digest=subject), "release")(folder)

    return build


def name_in_manifest(name: str) -> Build:
    return manifest_of(lambda d: d["files"].update({name: {"size": 1, "sha256": "0" * 64}}))


def hollow(folder: Path) -> None:
    """A signature that covers nothing, under a release manifest that was rightly signed."""
    bundle = json.loads((version(folder) / "model.sig").read_bytes())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    statement["predicate"]["resources"] = []
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    (version(folder) / "model.sig").write_text(json.dumps(bundle))


def bundle(change: Callable[[dict[str, Any]], object]) -> Build:
    def build(folder: Path) -> None:
        path = version(folder) / "model.sig"
        document = json.loads(path.read_bytes())
        change(document)
        path.write_text(json.dumps(document))

    return build
