"""What every trusted store does, in a folder, in memory, in a dictionary (S3: test_store_s3)."""

import base64
import json
import socket
import stat
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest

from assay.adapters.in_memory_store import InMemoryStore, InMemoryTransport
from assay.adapters.sealed_store import SealedStore
from assay.adapters.signer_dsse import sign_statement
from assay.adapters.store_claim import claimed
from assay.adapters.store_fsspec import FsspecStore
from assay.artifact import release_manifest
from assay.errors import ArtifactError, ConfigError, InfrastructureError
from assay.ports import ArtifactStore
from assay.trust import TrustedKeys, trusted_key
from tests.artifact_factory import TEMPLATE, Keys, make_artifact, make_keys

NOW = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC)
MODEL = "emotion-demo"


@dataclass
class Place:
    """A place where stores keep bytes, which a test may reach around the store's back."""

    open_store: Callable[[TrustedKeys, datetime], SealedStore]
    files: Callable[[], dict[str, bytes]]
    write: Callable[[str, bytes | None], None]


class Rig:
    """A place, a key, and a model in it."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place, self.folder, self.keys = place, folder, make_keys(folder / "keys")
        self.now = NOW

    def store(self, trusted: TrustedKeys | None = None) -> SealedStore:
        return self.place.open_store(trusted or self.keys.trusted, self.now)

    def publish(self, version: str, *, keys: Keys | None = None, **variations: Any) -> str:
        source = make_artifact(self.folder / uuid.uuid4().hex, **variations)
        signer = keys or self.keys
        store = self.store(signer.trusted)
        return store.publish(
            source, model=MODEL, version=version, private_key=signer.private
        ).digest

    def path(self, version: str, name: str) -> str:
        return f"{MODEL}/{version}/{name}"

    def refused(self, version: str, *words: str, store: SealedStore | None = None) -> None:
        """A pull is refused, says why, and leaves nothing behind."""
        destination = self.folder / "pulled"
        with pytest.raises(ArtifactError) as caught:
            (store or self.store()).pull(MODEL, version, destination)
        for word in words:
            assert word in str(caught.value)
        assert [path.name for path in self.folder.iterdir() if "pull" in path.name] == []


def local_place(url: str, root: Path) -> Place:
    def write(path: str, data: bytes | None) -> None:
        if data is None:
            (root / path).unlink()
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)

    def files() -> dict[str, bytes]:
        found = (path for path in root.rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}

    return Place(lambda keys, now: FsspecStore(url, keys, clock=lambda: now), files, write)


def memory_place(root: str) -> Place:
    system = fsspec.filesystem("memory")

    def write(path: str, data: bytes | None) -> None:
        if data is None:
            system.rm(f"{root}/{path}")
        else:
            system.pipe_file(f"{root}/{path}", data)

    def files() -> dict[str, bytes]:
        found = system.find(root)
        return {name.removeprefix(f"{root}/"): system.cat_file(name) for name in found}

    url = f"memory:/{root}"
    return Place(lambda keys, now: FsspecStore(url, keys, clock=lambda: now), files, write)


def dictionary_place() -> Place:
    transport = InMemoryTransport()

    def write(path: str, data: bytes | None) -> None:
        if data is None:
            del transport.files[path]
        else:
            transport.files[path] = data

    return Place(
        lambda keys, now: InMemoryStore(keys, clock=lambda: now, transport=transport),
        lambda: dict(transport.files),
        write,
    )


@pytest.fixture(params=["folder", "file-url", "memory", "dictionary"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    root = tmp_path / "store"
    name = f"/{uuid.uuid4().hex}"
    places: Mapping[str, Callable[[], Place]] = {
        "folder": lambda: local_place(str(root), root),
        "file-url": lambda: local_place(root.as_uri(), root),
        "memory": lambda: memory_place(name),
        "dictionary": dictionary_place,
    }
    yield Rig(places[request.param](), tmp_path / "work")
    system = fsspec.filesystem("memory")
    if system.exists(name):
        system.rm(name, recursive=True)


# ------------------------------------------------------------------------- publish and list


def test_a_version_comes_back_as_it_was_published(rig: Rig) -> None:
    digest = rig.publish("1.0.0", shards=2, metadata={"base_model": "none", "rows": 7})
    store: ArtifactStore = rig.store()
    pulled = store.pull(MODEL, "1.0.0", rig.folder / "pulled")
    assert (pulled.ref.model, pulled.ref.version, pulled.ref.digest) == (MODEL, "1.0.0", digest)
    source = make_artifact(rig.folder / "same", shards=2)
    served = {path.name: path.read_bytes() for path in pulled.folder.iterdir()}
    assert served == {path.name: path.read_bytes() for path in source.iterdir()}
    assert pulled.metadata == {
        "schema_version": 1, "model_name": MODEL, "version": "1.0.0", "base_model": "none",
        "rows": 7, "created_at": "2026-07-01T12:00:00Z", "quantization": "awq-4bit-g32",
    }  # fmt: skip
    assert pulled.chat_template == rig.folder / "pulled" / "chat_template.jinja"
    assert pulled.chat_template.read_text() == TEMPLATE


def test_a_pulled_copy_is_private_and_read_only(rig: Rig) -> None:
    rig.publish("1.0.0")
    pulled = rig.store().pull(MODEL, "1.0.0", rig.folder / "pulled")
    assert stat.S_IMODE((rig.folder / "pulled").stat().st_mode) == 0o700
    for path in [*pulled.folder.iterdir(), pulled.chat_template]:
        assert path is not None
        assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_a_model_without_a_template_has_none_to_serve(rig: Rig) -> None:
    rig.publish("1.0.0", template=None)
    assert rig.store().pull(MODEL, "1.0.0", rig.folder / "pulled").chat_template is None


def test_versions_are_listed_oldest_first(rig: Rig) -> None:
    for version in ("1.10.0", "1.9.0", "1.10.0rc1"):
        rig.publish(version)
    assert rig.store().versions(MODEL) == ["1.9.0", "1.10.0rc1", "1.10.0"]
    assert rig.store().versions("unheard-of") == []
    assert rig.store().models() == [MODEL]


def test_publishing_the_same_again_changes_nothing(rig: Rig) -> None:
    digest = rig.publish("1.0.0")
    before = rig.place.files()
    rig.now = NOW + timedelta(days=1)
    assert rig.publish("1.0.0") == digest
    assert rig.place.files() == before


def test_publishing_other_bytes_as_the_same_version_is_refused(rig: Rig) -> None:
    rig.publish("1.0.0")
    before = rig.place.files()
    with pytest.raises(ArtifactError, match=r"model\.safetensors.*higher version"):
        rig.publish("1.0.0", seed=1)
    assert rig.place.files() == before


def test_another_spelling_of_a_version_is_refused(rig: Rig) -> None:
    rig.publish("1.0.0")
    with pytest.raises(ArtifactError, match=r"'1\.0\.0'.*another spelling"):
        rig.publish("1.0", seed=1)


@pytest.mark.parametrize("stated", [{"model_name": "other"}, {"version": "9.9.9"}])
def test_metadata_of_another_model_or_version_are_refused(rig: Rig, stated: dict[str, str]) -> None:
    with pytest.raises(ArtifactError, match=r"metadata\.json: speaks of"):
        rig.publish("1.0.0", metadata=stated)
    assert rig.store().versions(MODEL) == []


def test_a_folder_that_fails_a_check_is_not_published(rig: Rig) -> None:
    with pytest.raises(ArtifactError, match=r"'evil\.py'"):
        rig.publish("1.0.0", files={"evil.py": "import os"})
    assert [name for name in rig.place.files() if name.startswith(MODEL)] == []


def test_a_key_that_nobody_trusts_signs_nothing(rig: Rig) -> None:
    other = make_keys(rig.folder / "keys", "other")
    source = make_artifact(rig.folder / "source")
    with pytest.raises(ConfigError, match=r"not among the trusted keys.*trust\.yaml"):
        rig.store().publish(source, model=MODEL, version="1.0.0", private_key=other.private)
    assert rig.place.files() == {}


@pytest.mark.parametrize("name", ["nowhere.key", "release.pub"])
def test_something_that_is_no_private_key_is_a_wrong_setting(rig: Rig, name: str) -> None:
    source = make_artifact(rig.folder / "source")
    key = rig.folder / "keys" / name
    with pytest.raises(ConfigError, match="keygen"):
        rig.store().publish(source, model=MODEL, version="1.0.0", private_key=key)


def test_what_a_killed_publisher_left_is_no_version_and_is_replaced(rig: Rig) -> None:
    rig.publish("1.0.0")
    rig.place.write(rig.path("1.1.0", "old-shard.safetensors"), b"half")
    rig.place.write(rig.path("1.1.0", "config.json"), b"{")
    assert rig.store().versions(MODEL) == ["1.0.0"]
    rig.refused("1.1.0", "release.json", "publish it again")
    rig.publish("1.1.0", seed=1)
    assert rig.store().versions(MODEL) == ["1.0.0", "1.1.0"]
    rig.store().pull(MODEL, "1.1.0", rig.folder / "pulled")


def test_each_publication_has_a_higher_sequence(rig: Rig) -> None:
    sequences = []
    for number, version in enumerate(("1.0.0", "2.0.0", "1.0.1")):
        rig.publish(version, seed=number)
        rig.store().pull(MODEL, version, rig.folder / version)
        envelope = json.loads((rig.folder / version / "seals" / "release.json").read_text())
        payload = json.loads(base64.b64decode(envelope["payload"]))
        sequences.append(payload["predicate"]["sequence"])
    assert sequences == [1, 2, 3]


# -------------------------------------------------------------------------------- not found


def test_an_unknown_version_lists_what_exists(rig: Rig) -> None:
    rig.publish("1.0.0")
    rig.publish("1.1.0", seed=1)
    with pytest.raises(
        ConfigError, match=r"no version '1\.1\.1'.*'1\.0\.0', '1\.1\.0'.*did you mean"
    ):
        rig.store().pull(MODEL, "1.1.1", rig.folder / "pulled")


def test_an_unknown_model_lists_what_exists(rig: Rig) -> None:
    rig.publish("1.0.0")
    with pytest.raises(ConfigError, match=r"no model 'emotion-dmeo'.*did you mean 'emotion-demo'"):
        rig.store().pull("emotion-dmeo", "1.0.0", rig.folder / "pulled")


@pytest.mark.parametrize(
    ("model", "version"), [("../m", "1.0.0"), (MODEL, "../1.0.0"), (MODEL, "")]
)
def test_a_name_that_is_a_path_is_a_wrong_setting(rig: Rig, model: str, version: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        rig.store().pull(model, version, rig.folder / "pulled")


def test_a_destination_in_use_is_left_alone(rig: Rig) -> None:
    rig.publish("1.0.0")
    (rig.folder / "pulled").mkdir()
    (rig.folder / "pulled" / "mine").write_text("x")
    with pytest.raises(ConfigError, match="not an empty folder"):
        rig.store().pull(MODEL, "1.0.0", rig.folder / "pulled")
    assert [path.name for path in (rig.folder / "pulled").iterdir()] == ["mine"]


def test_an_empty_destination_is_used(rig: Rig) -> None:
    rig.publish("1.0.0")
    (rig.folder / "pulled").mkdir()
    assert rig.store().pull(MODEL, "1.0.0", rig.folder / "pulled").folder.is_dir()


# -------------------------------------------------------------------------------- tampering


@pytest.mark.parametrize("where", [0, 9, -1], ids=["length", "header", "weights"])
def test_one_changed_bit_is_refused(rig: Rig, where: int) -> None:
    rig.publish("1.0.0")
    path = rig.path("1.0.0", "model.safetensors")
    data = bytearray(rig.place.files()[path])
    data[where] ^= 1
    rig.place.write(path, bytes(data))
    rig.refused("1.0.0", "'model.safetensors'", "changed after signing", "[file-digest]")


@pytest.mark.parametrize(
    "name", ["config.json", "metadata.json", "model.sig", "manifest.json", "tokenizer.json"]
)
def test_a_missing_file_is_refused(rig: Rig, name: str) -> None:
    rig.publish("1.0.0")
    rig.place.write(rig.path("1.0.0", name), None)
    rig.refused("1.0.0", f"'{name}' is missing")


@pytest.mark.parametrize("name", ["evil.py", ".gitattributes", "model.pkl", "NOTICE"])
def test_an_extra_file_is_refused(rig: Rig, name: str) -> None:
    rig.publish("1.0.0")
    rig.place.write(rig.path("1.0.0", name), b"x")
    rig.refused("1.0.0", repr(name), "[extra-file]")


def test_a_file_in_a_folder_is_refused(rig: Rig) -> None:
    rig.publish("1.0.0")
    rig.place.write(rig.path("1.0.0", ".git/config"), b"x")
    rig.refused("1.0.0", "'.git'", "[not-a-file]")


def test_a_renamed_file_is_refused(rig: Rig) -> None:
    rig.publish("1.0.0")
    data = rig.place.files()[rig.path("1.0.0", "LICENSE")]
    rig.place.write(rig.path("1.0.0", "LICENSE"), None)
    rig.place.write(rig.path("1.0.0", "LICENSE.txt"), data)
    rig.refused("1.0.0", "LICENSE")


def test_a_longer_file_is_refused_before_it_is_copied(rig: Rig) -> None:
    rig.publish("1.0.0")
    path = rig.path("1.0.0", "merges.txt")
    rig.place.write(path, rig.place.files()[path] + b"x")
    rig.refused("1.0.0", "'merges.txt'", "[file-size]")


def test_a_manifest_rewritten_to_fit_is_refused(rig: Rig) -> None:
    rig.publish("1.0.0")
    rig.publish("1.1.0", seed=1)
    files = rig.place.files()
    for name in ("model.safetensors", "manifest.json", "metadata.json"):
        rig.place.write(rig.path("1.0.0", name), files[rig.path("1.1.0", name)])
    rig.refused("1.0.0", "[manifest-digest]")


def test_an_old_version_replayed_under_a_new_name_is_refused(rig: Rig) -> None:
    rig.publish("1.0.0")
    for path, data in rig.place.files().items():
        if path.startswith(f"{MODEL}/1.0.0/"):
            rig.place.write(path.replace("1.0.0", "2.0.0"), data)
    assert rig.store().versions(MODEL) == ["1.0.0", "2.0.0"]
    rig.refused("2.0.0", "signed for 'emotion-demo' '1.0.0'", "[replay]")


def test_another_models_signature_is_refused(rig: Rig) -> None:
    rig.publish("1.0.0")
    rig.publish("1.1.0", seed=1)
    rig.place.write(
        rig.path("1.0.0", "model.sig"), rig.place.files()[rig.path("1.1.0", "model.sig")]
    )
    rig.refused("1.0.0", "model.sig", "[signature]")


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"x" * 2**21, b'{"payload": 1}'])
@pytest.mark.parametrize("name", ["model.sig", "release.json", "manifest.json"])
def test_a_seal_of_garbage_is_refused(rig: Rig, name: str, data: bytes) -> None:
    rig.publish("1.0.0")
    rig.place.write(rig.path("1.0.0", name), data)
    rig.refused("1.0.0", name)


def test_a_release_without_signatures_is_refused(rig: Rig) -> None:
    rig.publish("1.0.0")
    path = rig.path("1.0.0", "release.json")
    envelope = json.loads(rig.place.files()[path])
    rig.place.write(path, json.dumps(envelope | {"signatures": []}).encode())
    rig.refused("1.0.0", "[untrusted-key]")


def test_a_release_signed_for_other_files_is_refused(rig: Rig) -> None:
    rig.publish("1.0.0")
    statement = release_manifest(
        model=MODEL, version="1.0.0", digest="sha256:" + "0" * 64, chat_template_sha256=None,
        sequence=1, created_at=NOW,
    )  # fmt: skip
    signed = sign_statement(statement.canonical(), rig.keys.private)
    rig.place.write(rig.path("1.0.0", "release.json"), signed)
    rig.refused("1.0.0", "[manifest-digest]")


# ------------------------------------------------------------------------------------- keys


def test_a_version_of_an_unknown_key_is_refused(rig: Rig) -> None:
    other = make_keys(rig.folder / "keys", "other")
    rig.publish("1.0.0", keys=other)
    rig.refused("1.0.0", "no trusted key signed it (trusted: 'release'", "trust.yaml")


def test_an_unknown_key_under_the_id_of_a_trusted_one_is_refused(rig: Rig) -> None:
    other = make_keys(rig.folder / "keys", "other")
    rig.publish("1.0.0", keys=other)
    path, mine = rig.path("1.0.0", "release.json"), rig.keys.trusted.keys[0].key_id
    envelope = json.loads(rig.place.files()[path])
    envelope["signatures"][0]["keyid"] = mine
    rig.place.write(path, json.dumps(envelope).encode())
    rig.refused("1.0.0", "[untrusted-key]")


def test_release_and_files_signed_by_two_keys_are_refused(rig: Rig) -> None:
    other = make_keys(rig.folder / "keys", "other")
    both = TrustedKeys((*rig.keys.trusted.keys, *other.trusted.keys))
    rig.publish("1.0.0")
    path = rig.path("1.0.0", "release.json")
    payload = json.loads(rig.place.files()[path])["payload"]
    again = sign_statement(base64.b64decode(payload), other.private)
    rig.place.write(path, again)
    rig.refused("1.0.0", "signed with another key", store=rig.store(both))


def with_validity(keys: Keys, **validity: Any) -> TrustedKeys:
    return TrustedKeys((trusted_key(keys.public, name="release", **validity),))


def test_what_a_key_signed_before_it_ended_stays_good(rig: Rig) -> None:
    rig.publish("1.0.0")
    ended = with_validity(rig.keys, valid_until=NOW + timedelta(days=1))
    rig.store(ended).pull(MODEL, "1.0.0", rig.folder / "pulled")


@pytest.mark.parametrize(
    ("validity", "word"),
    [
        ({"valid_until": NOW - timedelta(days=1)}, "valid until"),
        ({"valid_from": NOW + timedelta(days=1)}, "valid from"),
        ({"revoked": True}, "revoked"),
    ],
)
def test_a_key_outside_its_validity_vouches_for_nothing(
    rig: Rig, validity: dict[str, Any], word: str
) -> None:
    rig.publish("1.0.0")
    store = rig.store(with_validity(rig.keys, **validity))
    rig.refused("1.0.0", word, "[untrusted-key]", store=store)
    source = make_artifact(rig.folder / "source")
    with pytest.raises(ConfigError, match=word):
        store.publish(source, model=MODEL, version="2.0.0", private_key=rig.keys.private)


def test_after_a_rotation_old_and_new_versions_are_good(rig: Rig) -> None:
    new = make_keys(rig.folder / "keys", "new")
    rig.publish("1.0.0")
    rig.now = NOW + timedelta(days=2)
    rig.publish("2.0.0", keys=new)
    both = TrustedKeys(
        (*with_validity(rig.keys, valid_until=NOW + timedelta(days=1)).keys, *new.trusted.keys)
    )
    for version in ("1.0.0", "2.0.0"):
        rig.store(both).pull(MODEL, version, rig.folder / version)


def test_a_store_that_is_down_is_no_empty_store(tmp_path: Path) -> None:
    keys = make_keys(tmp_path)
    store = InMemoryStore(keys.trusted)
    source = make_artifact(tmp_path / "a")
    store.publish(source, model=MODEL, version="1.0.0", private_key=keys.private)
    store.transport.reachable = False
    for attempt in (
        lambda: store.versions(MODEL),
        lambda: store.pull(MODEL, "1.0.0", tmp_path / "pulled"),
        lambda: store.publish(source, model=MODEL, version="1.0.0", private_key=keys.private),
    ):
        with pytest.raises(InfrastructureError, match="cannot be reached"):
            attempt()


def test_a_second_publisher_waits(rig: Rig) -> None:
    store = rig.store()
    with (
        claimed(store._transport, f"{MODEL}/.claims/1.0.0.json", NOW),
        pytest.raises(InfrastructureError, match="has been publishing this version since"),
    ):
        rig.publish("1.0.0")
    rig.publish("1.0.0")


def test_a_claim_of_a_dead_process_counts_no_more(rig: Rig) -> None:
    claim = {
        "token": "x", "host": socket.gethostname(), "pid": 2**22 + 1, "process_started": 0.0,
        "since": NOW.isoformat(),
    }  # fmt: skip
    rig.place.write(f"{MODEL}/.claims/1.0.0.json", json.dumps(claim).encode())
    rig.publish("1.0.0")
    assert [name for name in rig.place.files() if ".claims" in name] == []


@pytest.mark.parametrize(("age_h", "published"), [(0.5, False), (2.0, True)])
def test_a_claim_of_another_host_counts_for_an_hour(
    rig: Rig, age_h: float, published: bool
) -> None:
    since = NOW - timedelta(hours=age_h)
    claim = {"token": "x", "host": "elsewhere", "pid": 1, "process_started": 0.0,
             "since": since.isoformat()}  # fmt: skip
    rig.place.write(f"{MODEL}/.claims/1.0.0.json", json.dumps(claim).encode())
    if published:
        rig.publish("1.0.0")
        return
    with pytest.raises(InfrastructureError, match="on elsewhere"):
        rig.publish("1.0.0")
