"""What can go wrong with a real file system below the store."""

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from assay.adapters.store_fsspec import FsspecStore
from assay.errors import ArtifactError, AssayError, ConfigError, InfrastructureError
from tests.artifact_factory import Keys, make_artifact, make_keys


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path / "keys")


@pytest.fixture
def store(tmp_path: Path, keys: Keys) -> FsspecStore:
    """A store in a folder, with version 1.0.0 of model `m`."""
    store = FsspecStore(str(tmp_path / "store"), keys.trusted)
    source = make_artifact(tmp_path / "source")
    store.publish(source, model="m", version="1.0.0", private_key=keys.private)
    return store


def nothing_pulled(folder: Path) -> bool:
    return not any("pull" in path.name for path in folder.iterdir())


def test_a_symbolic_link_in_the_store_is_refused_though_its_bytes_are_right(
    tmp_path: Path, store: FsspecStore
) -> None:
    file = tmp_path / "store" / "m" / "1.0.0" / "config.json"
    file.rename(tmp_path / "elsewhere.json")
    file.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ArtifactError, match=r"'config\.json' is a folder or a link"):
        store.pull("m", "1.0.0", tmp_path / "pulled")
    assert nothing_pulled(tmp_path)


def test_a_pipe_in_the_store_is_refused_and_not_waited_for(
    tmp_path: Path, store: FsspecStore
) -> None:
    file = tmp_path / "store" / "m" / "1.0.0" / "release.json"
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ArtifactError, match=r"'release\.json' is a folder or a link"):
        store.pull("m", "1.0.0", tmp_path / "pulled")


def test_a_linked_version_is_no_version(tmp_path: Path, store: FsspecStore) -> None:
    (tmp_path / "store" / "m" / "2.0.0").symlink_to(tmp_path / "store" / "m" / "1.0.0")
    assert store.versions("m") == ["1.0.0"]


def test_the_publishers_folder_is_not_touched(tmp_path: Path, keys: Keys) -> None:
    source = make_artifact(tmp_path / "source")
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    store = FsspecStore(str(tmp_path / "store"), keys.trusted)
    store.publish(source, model="m", version="1.0.0", private_key=keys.private)
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before


def test_a_relative_folder_is_a_store(
    tmp_path: Path, store: FsspecStore, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert FsspecStore("store", keys.trusted).versions("m") == ["1.0.0"]


def test_a_missing_folder_is_a_store_out_of_reach_not_an_empty_one(
    tmp_path: Path, keys: Keys
) -> None:
    store = FsspecStore(str(tmp_path / "unmounted"), keys.trusted)
    with pytest.raises(InfrastructureError, match="mount it"):
        store.versions("m")
    with pytest.raises(InfrastructureError, match="mount it"):
        store.pull("m", "1.0.0", tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


def test_a_host_that_does_not_answer_is_out_of_reach(tmp_path: Path, keys: Keys) -> None:
    store = FsspecStore("http://127.0.0.1:9/models", keys.trusted)
    with pytest.raises(InfrastructureError, match=r"127\.0\.0\.1:9/models: cannot list"):
        store.pull("m", "1.0.0", tmp_path / "pulled")


@pytest.mark.parametrize(("url", "word"), [("nonsense://x", "nonsense"), ("sftp://h/x", "install")])
def test_a_file_system_that_is_not_installed_is_a_wrong_setting(
    keys: Keys, url: str, word: str
) -> None:
    with pytest.raises(ConfigError, match=word):
        FsspecStore(url, keys.trusted)


def test_a_store_that_cannot_be_written_is_an_infrastructure_error(
    tmp_path: Path, keys: Keys
) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    store = FsspecStore(str(tmp_path / "store"), keys.trusted)
    source = make_artifact(tmp_path / "source")
    with pytest.raises(InfrastructureError, match="cannot write"):
        store.publish(source, model="m", version="1.0.0", private_key=keys.private)


def test_of_many_publishers_at_once_one_wins_and_its_version_is_whole(
    tmp_path: Path, keys: Keys
) -> None:
    sources = [make_artifact(tmp_path / f"source{n}", seed=n) for n in range(4)]
    digests: list[str] = []
    errors: list[AssayError] = []
    start = threading.Barrier(len(sources))

    def publish(source: Path) -> None:
        store = FsspecStore(str(tmp_path / "store"), keys.trusted)
        start.wait()
        try:
            ref = store.publish(source, model="m", version="1.0.0", private_key=keys.private)
            digests.append(ref.digest)
        except AssayError as error:
            errors.append(error)

    threads = [threading.Thread(target=publish, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 1
    assert len(errors) == len(sources) - 1
    store = FsspecStore(str(tmp_path / "store"), keys.trusted)
    assert store.pull("m", "1.0.0", tmp_path / "pulled").ref.digest == digests[0]


SCRIPT = textwrap.dedent(
    """
    import os, resource, signal, sys
    from pathlib import Path
    from assay.adapters import store_reader, sealed_store
    from assay.adapters.store_fsspec import FsspecStore
    from assay.errors import InfrastructureError
    from assay.trust import TrustedKeys, trusted_key
    work, step = Path(sys.argv[1]), sys.argv[2]
    keys = TrustedKeys((trusted_key(work / "keys" / "release.pub", name="release"),))
    store = FsspecStore(str(work / "store"), keys)
    if step == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        try:
            store.pull("m", "1.0.0", work / "pulled")
        except InfrastructureError as error:
            print(error)
            sys.exit(7)
    if step == "killed":
        store._transport.create = lambda path, data, create=store._transport.create: (
            os.kill(os.getpid(), signal.SIGKILL) if path.endswith("release.json")
            else create(path, data))
        store.publish(work / "source", model="m", version="2.0.0",
                      private_key=work / "keys" / "release.key")
    """
)


def run(tmp_path: Path, step: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), step],
        capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip


def test_a_full_disk_ends_the_pull_and_leaves_nothing(tmp_path: Path, store: FsspecStore) -> None:
    done = run(tmp_path, "full")
    assert done.returncode == 7, done.stderr
    assert "free space there" in done.stdout
    assert nothing_pulled(tmp_path)


def test_a_publisher_killed_at_the_last_moment_leaves_no_version_and_can_try_again(
    tmp_path: Path, store: FsspecStore, keys: Keys
) -> None:
    done = run(tmp_path, "killed")
    assert done.returncode == -9
    assert (tmp_path / "store" / "m" / "2.0.0" / "model.sig").exists()
    assert store.versions("m") == ["1.0.0"]
    source = tmp_path / "source"
    ref = store.publish(source, model="m", version="2.0.0", private_key=keys.private)
    assert store.pull("m", "2.0.0", tmp_path / "pulled").ref == ref


def test_an_interrupt_in_the_middle_of_a_pull_leaves_nothing(
    tmp_path: Path, store: FsspecStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("assay.adapters.store_seals.verify_folder", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.pull("m", "1.0.0", tmp_path / "pulled")
    assert nothing_pulled(tmp_path)
