"""Hostile stores: what somebody who can write to the store, but has no key, could put there."""

import json
import os
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from assay.adapters.sealed_store import SealedStore
from assay.adapters.store_fsspec import FsspecStore
from assay.succession import check_succession
from assay.trust import TrustedKeys
from tests.adversarial import world
from tests.adversarial.corpus import Hostile, copied
from tests.adversarial.forging import (
    Build,
    appended,
    bundle,
    duplicate_key,
    envelope,
    envelope_of,
    flipped,
    folder_link,
    hollow,
    linked,
    manifest_of,
    moved_to,
    name_in_manifest,
    other_payload_type,
    payload,
    removed,
    repeated_signatures,
    stated,
    taken_from,
    written,
)
from tests.adversarial.world import OTHER_MODEL, SIGNED_AT, keys, version
from tests.gate_rig import MODEL


def pull(folder: Path, name: str = "1.0.0", model: str = MODEL, **validity: object) -> object:
    return world.store(folder, **validity).pull(model, name, folder / "pulled")


def row(
    name: str, code: str, build: Build, meet: Callable[[Path], object] = pull, words: str = ""
) -> Hostile:
    return Hostile(
        name=f"store: {name}", code=code, build=build, meet=meet, words=words, needs_world=True
    )


def later(name: str, model: str = MODEL) -> Callable[[Path], object]:
    return lambda folder: pull(folder, name, model)


# --- replays --------------------------------------------------------------------------------------


def older_signed_as_newer(folder: Path) -> None:
    """A publisher's key signs, under version 9.0.0, a release with an early sequence number."""
    source = folder / "sources" / f"{MODEL}-1.0.0"
    world.store(folder).sign(
        source, version(folder, "9.0.0"), model=MODEL, version="9.0.0", sequence=1,
        private_key=keys(folder, "release").private,
    )  # fmt: skip


def succeed(folder: Path, candidate: str, production: str = "1.1.0") -> object:
    store = world.store(folder)
    one = store.pull(MODEL, candidate, folder / "candidate")
    return check_succession(one, store.pull(MODEL, production, folder / "production"))


def same_version_other_bytes(folder: Path) -> None:
    """1.1.0 again with other weights, rightly signed, in a store that lost the first one."""
    shutil.rmtree(version(folder, "1.1.0"))
    world.store(folder).sign(
        folder / "sources" / f"{OTHER_MODEL}-1.0.0", version(folder, "1.1.0"), model=MODEL,
        version="1.1.0", sequence=9, private_key=keys(folder, "release").private,
    )  # fmt: skip


def keep_production(folder: Path) -> None:
    copied(folder / "store", folder / "before" / "store")
    copied(folder / "keys", folder / "before" / "keys")
    same_version_other_bytes(folder)


def succeed_twin(folder: Path) -> object:
    production = world.store(folder / "before").pull(MODEL, "1.1.0", folder / "production")
    return check_succession(world.store(folder).pull(MODEL, "1.1.0", folder / "new"), production)


def published(folder: Path, name: str, source: str) -> object:
    return world.store(folder).publish(
        folder / "sources" / source, model=MODEL, version=name,
        private_key=keys(folder, "release").private,
    )  # fmt: skip


# --- while the gate looks -------------------------------------------------------------------------


class _Swapping(FsspecStore):
    """A store whose weights become others, of the same size, once they have been listed."""

    def _check_listing(self, *arguments: Any, **more: Any) -> None:
        super()._check_listing(*arguments, **more)
        root = Path(self._transport.url)
        path = root / MODEL / "1.0.0" / "model.safetensors"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)


def pull_swapping(folder: Path) -> object:
    release = world.store(folder)._trusted
    store: SealedStore = _Swapping(str(folder / "store"), release)
    return store.pull(MODEL, "1.0.0", folder / "pulled")


def grown_after_listing(folder: Path) -> object:
    """Between listing and reading the file grows, to fill the gate's disk."""

    class Growing(FsspecStore):
        def _check_listing(self, *arguments: Any, **more: Any) -> None:
            super()._check_listing(*arguments, **more)
            os.truncate(Path(self._transport.url) / MODEL / "1.0.0" / "merges.txt", 2**40)

    store = Growing(str(folder / "store"), world.store(folder)._trusted)
    return store.pull(MODEL, "1.0.0", folder / "pulled")


def nobody(folder: Path) -> object:
    store = FsspecStore(str(folder / "store"), TrustedKeys(()))
    return store.pull(MODEL, "1.0.0", folder / "pulled")


def nothing(folder: Path) -> None:
    """The store is honest; what is asked for, or by whom, is not."""


def validity(**fields: datetime | bool) -> Callable[[Path], object]:
    return lambda folder: pull(folder, **fields)


DAY = timedelta(days=1)
PATHS = ("../config.json", "/etc/passwd", "model/../../x.json", "..", "config.json\0")
ALL = [
    row("one bit of the weights", "file-digest", flipped("model.safetensors", -1)),
    row("one bit of the configuration", "file-digest", flipped("config.json", 3)),
    row("one bit of the signature", "signature", flipped("model.sig", 700)),
    row("one bit of the manifest", "manifest-digest", flipped("manifest.json", 40)),
    row("a file that is longer", "file-size", appended("merges.txt", b"x")),
    row("a file too many", "extra-file", written("NOTICE", b"x")),
    row("a file under .git, which the signature passes over", "extra-file",
        written(".gitignore", b"x")),
    row("a folder under .git", "not-a-file",
        lambda folder: (version(folder) / ".git").mkdir()),
    row("a file less", "file-missing", removed("tokenizer.json")),
    row("a link in the place of a file", "not-a-file", linked),
    row("a link to a folder", "not-a-file", folder_link),
    row("no release manifest", "unsigned", removed("release.json")),
    row("no signature", "file-missing", removed("model.sig")),
    row("no manifest", "unsigned", removed("manifest.json")),
    row("a signature without an envelope", "envelope",
        lambda folder: (version(folder) / "release.json").write_text(
            json.dumps(envelope_of(folder)["signatures"]))),
    row("an envelope without a signature", "untrusted-key",
        envelope(lambda d: d.update(signatures=[]))),
    row("a signature of a key without a name", "envelope",
        envelope(lambda d: d["signatures"][0].update(keyid=None))),
    row("a signature of nothing", "untrusted-key",
        envelope(lambda d: d["signatures"][0].update(sig=""))),
    row("a payload of another type", "envelope", envelope(lambda d: d.update(payloadType="x/y"))),
    row("a signed payload of another type", "envelope", other_payload_type),
    row("an envelope with two payloads", "envelope", duplicate_key),
    row("an envelope of a thousand signatures", "envelope", envelope(repeated_signatures)),
    row("an envelope of a gibibyte", "too-large",
        lambda folder: os.truncate(version(folder) / "release.json", 2**30)),
    row("an envelope of deep lists", "envelope", written("release.json", b"[" * 60_000)),
    row("a statement changed under its signature", "untrusted-key", payload(stated(sequence=9))),
    row("a stranger's signature", "untrusted-key", payload(stated(sequence=9), "stranger")),
    row("a gate's signature on a release", "untrusted-key", payload(stated(sequence=9), "gate")),
    row("an approver's signature on a release", "untrusted-key", payload(stated(), "ada")),
    row("a stranger's signature under a trusted key's id", "untrusted-key",
        lambda folder: (payload(stated(), "stranger")(folder), envelope(
            lambda d: d["signatures"][0].update(
                keyid=world.store(folder)._trusted.keys[0].key_id))(folder))),
    row("a statement of another predicate", "release", payload(
        lambda s: s.update(predicateType="urn:assay:verdict:v1"), "release")),
    row("a statement with a field more", "release", payload(stated(note="x"), "release")),
    row("a sequence that is no number", "release", payload(stated(sequence="9"), "release")),
    row("a sequence below all others", "release", payload(stated(sequence=-1), "release")),
    row("a subject that is another model's", "replay", payload(
        lambda s: s["subject"][0].update(name=f"{OTHER_MODEL}/1.0.0"), "release")),
    row("another chat template than the one released", "template-digest",
        payload(stated(chat_template_sha256="0" * 64), "release")),
    row("a key that is revoked", "untrusted-key", nothing, validity(revoked=True), "revoked"),
    row("a key that had ended", "untrusted-key", nothing, validity(valid_until=SIGNED_AT - DAY),
        "valid until"),
    row("a key that had not begun", "untrusted-key", nothing, validity(valid_from=SIGNED_AT + DAY),
        "valid from"),
    row("no key that is trusted", "untrusted-key", nothing, nobody),
    row("an old version under a newer name", "replay", moved_to("2.0.0"), later("2.0.0")),
    row("a version under another model's name", "replay", moved_to("1.5.0", OTHER_MODEL),
        later("1.5.0", OTHER_MODEL)),
    row("another version's signature", "signature", taken_from("1.1.0", "model.sig")),
    row("another model's signature", "signature",
        taken_from("1.0.0", "model.sig", model=OTHER_MODEL)),
    row("another version's weights", "file-digest", taken_from("1.1.0", "model.safetensors")),
    row("another version's weights and manifest", "manifest-digest",
        taken_from("1.1.0", "model.safetensors", "manifest.json", "metadata.json")),
    row("another version, whole", "replay", taken_from("1.1.0", "model.safetensors",
        "manifest.json", "metadata.json", "model.sig", "release.json")),
    row("an old release signed as a newer version", "replay", older_signed_as_newer,
        lambda folder: succeed(folder, "9.0.0"), "publication 1"),
    row("the same version with other bytes", "version-twin", keep_production, succeed_twin),
    row("other bytes published as an existing version", "immutable", nothing,
        lambda folder: published(folder, "1.0.0", f"{MODEL}-1.1.0")),
    row("an existing version in another spelling", "version-twin", nothing,
        lambda folder: published(folder, "1.0", f"{MODEL}-1.1.0")),
    *(row(f"a signed manifest that names {path!r}", "manifest", name_in_manifest(path))
      for path in PATHS),
    row("a signed manifest with a negative size", "manifest",
        manifest_of(lambda d: d["files"]["config.json"].update(size=-1))),
    row("a signature that covers nothing", "signature", hollow),
    row("a signature that hashes otherwise", "signature",
        bundle(lambda d: d["dsseEnvelope"].update(payloadType="x"))),
    row("two signatures in one bundle", "signature",
        bundle(lambda d: d["dsseEnvelope"].update(
            signatures=d["dsseEnvelope"]["signatures"] * 2))),
    row("a bundle without key material", "signature",
        bundle(lambda d: d.pop("verificationMaterial"))),
    row("weights changed between listing and copying", "file-digest", nothing, pull_swapping),
    row("a file that grows without end while it is copied", "file-size", nothing,
        grown_after_listing),
    row("a model name that is a path", "config", nothing, later("1.0.0", "../emotion")),
    row("a model name in look-alike letters", "config", nothing, later("1.0.0", "em\u043etion")),
    row("a version that is a path", "config", nothing, later("../1.0.0")),
    row("a version in Arabic digits", "config", nothing, later("\u0661.0.0")),
]  # fmt: skip
