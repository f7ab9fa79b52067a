"""Pulling from a store that is elsewhere: in parts, resumed, cached, shared, and never believed."""

import fcntl
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.adapters.in_memory_store import InMemoryStore, InMemoryTransport
from assay.adapters.store_cache import BlobCache
from assay.adapters.store_fsspec import FsspecStore
from assay.adapters.store_parts import PART
from assay.adapters.store_staging import staging_folder
from assay.errors import ArtifactError, InfrastructureError
from tests.artifact_factory import Keys, make_artifact, make_keys
from tests.s3_rig import ENVIRONMENT, S3Server

WEIGHTS = "m/1.0.0/model.safetensors"
GIB = 2**30


class CountingTransport(InMemoryTransport):
    """A store elsewhere that counts what is read from it, and may fail after so many parts."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[tuple[int, int]] = []
        self.fail_after: int | None = None
        self.before_read: Callable[[], None] = lambda: None

    def read(self, path: str, start: int, end: int) -> bytes:
        self.before_read()
        if self.fail_after is not None and len(self.ranges) >= self.fail_after:
            raise InfrastructureError("the line is dead; try again")
        self.ranges.append((start, end))
        return super().read(path, start, end)


class Desk:
    """A remote store with one version of 20 MiB, and a cache."""

    def __init__(self, folder: Path, keys: Keys, transport: CountingTransport) -> None:
        self.folder, self.keys, self.transport = folder, keys, transport
        self.cache = BlobCache(folder / "cache", limit_bytes=GIB)
        self.store = InMemoryStore(keys.trusted, transport=transport, cache=self.cache)
        self._pulls = 0

    def pull(self) -> bytes:
        self._pulls += 1
        pulled = self.store.pull("m", "1.0.0", self.folder / f"pulled{self._pulls}")
        return (pulled.folder / "model.safetensors").read_bytes()

    @property
    def weights(self) -> bytes:
        return self.transport.files[WEIGHTS]

    def kept(self, pattern: str) -> list[Path]:
        return sorted(self.cache.folder.glob(pattern))

    def entry(self) -> Path:
        (only,) = [path for path in self.kept("*") if "." not in path.name]
        return only


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Keys, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("published")
    keys = make_keys(folder / "keys")
    store = InMemoryStore(keys.trusted)
    source = make_artifact(folder / "source", filler_bytes=5 * PART)
    store.publish(source, model="m", version="1.0.0", private_key=keys.private)
    return keys, store.transport.files


@pytest.fixture
def desk(tmp_path: Path, published: tuple[Keys, dict[str, bytes]]) -> Desk:
    transport = CountingTransport()
    transport.files |= published[1]
    return Desk(tmp_path, published[0], transport)


def all_parts(desk: Desk) -> list[tuple[int, int]]:
    size = len(desk.weights)
    return [(at, min(at + PART, size)) for at in range(0, size, PART)]


def test_a_large_file_comes_in_parts_once_and_then_from_the_cache(desk: Desk) -> None:
    assert desk.pull() == desk.weights
    assert sorted(desk.transport.ranges) == all_parts(desk)
    assert desk.pull() == desk.weights
    assert len(desk.transport.ranges) == len(all_parts(desk))
    assert [path.suffix for path in desk.kept("*")] == [""]
    assert desk.entry().stat().st_mode & 0o777 == 0o400
    assert desk.cache.folder.stat().st_mode & 0o777 == 0o700


def test_parts_are_fetched_at_the_same_time(desk: Desk) -> None:
    together = threading.Barrier(4, timeout=20)
    calls = iter(range(1000))

    def before() -> None:
        if next(calls) < 4:
            together.wait()

    desk.transport.before_read = before
    assert desk.pull() == desk.weights


def test_a_pull_that_broke_off_fetches_only_what_is_missing(desk: Desk) -> None:
    desk.transport.fail_after = 3
    with pytest.raises(InfrastructureError, match="the line is dead"):
        desk.pull()
    assert desk.kept("*.part")
    assert [p.name for p in desk.folder.iterdir() if "pull" in p.name] == []
    desk.transport.fail_after = None
    assert desk.pull() == desk.weights
    assert sorted(desk.transport.ranges) == all_parts(desk), "no part was fetched twice"


def test_parts_that_were_lost_after_a_power_cut_are_fetched_again(desk: Desk) -> None:
    desk.transport.fail_after = 3
    with pytest.raises(InfrastructureError):
        desk.pull()
    (partial,) = desk.kept("*.part")
    partial.write_bytes(bytes(partial.stat().st_size))
    desk.transport.fail_after = None
    assert desk.pull() == desk.weights


@pytest.mark.parametrize("journal", [b"", b"\x01", b"\x01" * 1000])
def test_a_journal_of_another_file_counts_for_nothing(desk: Desk, journal: bytes) -> None:
    desk.transport.fail_after = 3
    with pytest.raises(InfrastructureError):
        desk.pull()
    desk.kept("*.journal")[0].write_bytes(journal)
    desk.transport.fail_after = None
    assert desk.pull() == desk.weights


def test_a_changed_object_is_refused_and_nothing_of_it_is_kept(desk: Desk) -> None:
    data = bytearray(desk.weights)
    data[PART + 5] ^= 1
    desk.transport.files[WEIGHTS] = bytes(data)
    with pytest.raises(ArtifactError, match=r"not the file that was signed.*\[file-digest\]"):
        desk.pull()
    assert desk.kept("*") == []


def test_an_object_that_is_cut_short_during_the_pull_is_no_verdict(desk: Desk) -> None:
    def cut() -> None:
        if len(desk.transport.ranges) == 2:
            desk.transport.files[WEIGHTS] = desk.weights[: 2 * PART]

    whole = desk.weights
    desk.transport.before_read = cut
    with pytest.raises(InfrastructureError, match="cut short"):
        desk.pull()
    desk.transport.before_read = lambda: None
    desk.transport.files[WEIGHTS] = whole
    assert desk.pull() == whole


@pytest.mark.parametrize("how", ["flipped", "longer", "shorter", "link"])
def test_a_poisoned_entry_is_found_out_and_fetched_again(desk: Desk, how: str) -> None:
    desk.pull()
    entry = desk.entry()
    entry.chmod(0o600)
    data = bytearray(desk.weights)
    if how == "flipped":
        data[-1] ^= 1
        entry.write_bytes(data)
    elif how == "longer":
        entry.write_bytes(bytes(data) + b"x")
    elif how == "shorter":
        entry.write_bytes(bytes(data[:-1]))
    else:
        entry.rename(desk.folder / "elsewhere")
        entry.symlink_to(desk.folder / "elsewhere")
    desk.transport.ranges.clear()
    assert desk.pull() == desk.weights
    assert sorted(desk.transport.ranges) == all_parts(desk)
    assert not desk.entry().is_symlink()


def test_what_is_over_the_limit_leaves_least_recently_used_first(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, limit_bytes=3 * 2**20)
    for number in range(4):
        path = tmp_path / (f"{number}" * 64)
        path.write_bytes(os.urandom(2**20))
        os.utime(path, (1000 + number, 1000 + number))
    os.utime(tmp_path / ("0" * 64), (2000, 2000))
    assert cache.trim() == ["1" * 64]
    cache.limit_bytes = 0
    assert len(cache.trim()) == 3
    assert list(tmp_path.iterdir()) == []


def test_an_entry_in_use_is_never_evicted(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, limit_bytes=0)
    used, partial = tmp_path / ("a" * 64), tmp_path / ("b" * 64 + ".part")
    for path, lock in ((used, fcntl.LOCK_SH), (partial, fcntl.LOCK_EX)):
        path.write_bytes(b"x" * 5000)
        held = os.open(path, os.O_RDONLY)
        fcntl.flock(held, lock)
        assert cache.trim() == []
        assert path.exists()
        os.close(held)
        assert cache.trim() == [path.name]


def test_an_unfinished_file_that_nobody_fetches_any_more_leaves_with_its_journal(
    desk: Desk,
) -> None:
    desk.transport.fail_after = 3
    with pytest.raises(InfrastructureError):
        desk.pull()
    desk.cache.limit_bytes = 0
    desk.cache.trim()
    assert desk.kept("*") == []


def test_a_limit_of_nothing_still_pulls(desk: Desk) -> None:
    desk.cache.limit_bytes = 0
    assert desk.pull() == desk.weights
    assert desk.kept("*") == []


def test_of_many_pulls_at_once_one_fetches_and_all_have_it(desk: Desk) -> None:
    results: list[bytes] = []
    errors: list[Exception] = []

    def pull(number: int) -> None:
        store = InMemoryStore(
            desk.keys.trusted,
            transport=desk.transport,
            cache=BlobCache(desk.cache.folder, limit_bytes=GIB),
        )
        try:
            pulled = store.pull("m", "1.0.0", desk.folder / f"at-once{number}")
            results.append((pulled.folder / "model.safetensors").read_bytes())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=pull, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert results == [desk.weights] * 4
    assert sorted(desk.transport.ranges) == all_parts(desk)


def test_a_local_store_is_not_cached(tmp_path: Path, published: tuple[Keys, object]) -> None:
    keys = published[0]
    cache = BlobCache(tmp_path / "cache", limit_bytes=GIB)
    store = FsspecStore(str(tmp_path / "store"), keys.trusted, cache=cache)
    source = make_artifact(tmp_path / "source", filler_bytes=2 * PART)
    store.publish(source, model="m", version="1.0.0", private_key=keys.private)
    store.pull("m", "1.0.0", tmp_path / "pulled")
    assert not cache.folder.exists()


# ------------------------------------------------------------------------------ real processes

SCRIPT = textwrap.dedent(
    """
    import json, os, signal, sys
    from pathlib import Path
    from assay.adapters.store_cache import BlobCache
    from assay.adapters.store_fsspec import FsspecStore
    from assay.trust import TrustedKeys, trusted_key
    work, url, options, parts = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    keys = TrustedKeys((trusted_key(work / "keys" / "release.pub", name="release"),))
    store = FsspecStore(url, keys, storage_options=json.loads(options),
                        cache=BlobCache(work / "cache", limit_bytes=2**30))
    read, count = store._transport.read, iter(range(10**6))
    def counted(path, start, end):
        number = next(count)
        if number == parts:
            os.kill(os.getpid(), signal.SIGKILL)
        data = read(path, start, end)
        sys.stdout.write(f"{start}\\n"); sys.stdout.flush()
        return data
    store._transport.read = counted
    store.pull("m", "1.0.0", work / "pulled")
    """
)


def test_a_killed_pull_from_s3_continues_and_its_leftovers_are_swept(
    tmp_path: Path, s3: S3Server
) -> None:
    import json

    keys = make_keys(tmp_path / "keys")
    url = f"s3://{s3.bucket()}/models"
    store = FsspecStore(url, keys.trusted, storage_options=s3.options)
    source = make_artifact(tmp_path / "source", filler_bytes=8 * PART)
    store.publish(source, model="m", version="1.0.0", private_key=keys.private)

    def pull(parts: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path), url, json.dumps(s3.options), str(parts)],
            capture_output=True, text=True, timeout=60, check=False,
            env=os.environ | ENVIRONMENT,
        )  # fmt: skip

    killed = pull(7)
    assert killed.returncode == -9, killed.stderr
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".assay-pull-")]
    finished = pull(10**6)
    assert finished.returncode == 0, finished.stderr
    first, second = (set(map(int, done.stdout.split())) for done in (killed, finished))
    assert len(first) >= 1
    assert len(second) < 9, "what was there is not fetched again"
    assert len(first | second) == 9
    pulled = tmp_path / "pulled" / "model" / "model.safetensors"
    assert pulled.read_bytes() == (source / "model.safetensors").read_bytes()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".assay-pull-")] == []


def test_a_staging_folder_whose_owner_lives_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".assay-pull-dead").mkdir()
    with staging_folder(tmp_path, ".assay-pull-") as first:
        assert not (tmp_path / ".assay-pull-dead").exists()
        with staging_folder(tmp_path, ".assay-pull-") as second:
            assert first.is_dir()
            assert second.is_dir()
    assert list(tmp_path.iterdir()) == []
