"""The contract of golden sources, and a real Git repository with a real DVC cache and remote."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assay.adapters.golden_dvc import DvcGoldenSource
from assay.adapters.in_memory_golden import InMemoryGoldenSource
from assay.errors import ConfigError, InfrastructureError
from assay.golden_frozen import canonical, to_jsonl
from assay.golden_set import golden_digest
from assay.ports import GoldenSource
from assay.records import GoldenCase, Probe
from tests.golden_examples import LABELS, SECRET, cases, probes, write_frozen

FIRST, SECOND = "golden-1.0.0", "golden-1.1.0"


def run(folder: Path, *command: str) -> None:
    environment = os.environ | {
        "DVC_NO_ANALYTICS": "1",
        "GIT_AUTHOR_NAME": "t",
        "GIT_AUTHOR_EMAIL": "t@example.com",
        "GIT_COMMITTER_NAME": "t",
        "GIT_COMMITTER_EMAIL": "t@example.com",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def freeze(root: Path, version: str, held: list[GoldenCase], probing: list[Probe]) -> None:
    write_frozen(root / "golden_data", version, held, probing)
    dvc = [sys.executable, "-m", "dvc"]
    run(root, *dvc, "add", "-q", "golden_data/golden.jsonl", "golden_data/probes.jsonl")
    run(root, "git", "add", ".")
    run(root, "git", "commit", "-q", "-m", version)
    run(root, "git", "tag", f"golden-{version}")
    run(root, *dvc, "push", "-q")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two frozen versions; the later one is checked out."""
    root = tmp_path_factory.mktemp("released")
    run(root, "git", "init", "-q")
    run(root, sys.executable, "-m", "dvc", "init", "-q")
    run(root, sys.executable, "-m", "dvc", "remote", "add", "-q", "-d", "local", ".dvc-remote")
    (root / ".gitignore").write_text(".dvc-remote/\n")
    freeze(root, "1.0.0", cases(3), probes(1))
    freeze(root, "1.1.0", cases(4), probes(2))
    return root


@pytest.fixture
def repository(released: Path, tmp_path: Path) -> Path:
    """A copy of the repository that the test may damage."""
    return Path(shutil.copytree(released, tmp_path / "repository"))


def objects(folder: Path) -> Iterator[Path]:
    found = [path for path in (folder / "files" / "md5").rglob("*") if path.is_file()]
    assert found
    yield from found


def tamper(folder: Path) -> None:
    for path in objects(folder):
        path.chmod(0o644)
        path.write_bytes(path.read_bytes().replace(b'"joy"', b'"anger"', 1) + b"\n")


@pytest.fixture(params=["dvc", "in memory"])
def source(request: pytest.FixtureRequest, released: Path) -> GoldenSource:
    if request.param == "dvc":
        return DvcGoldenSource(released)
    held = {FIRST: cases(3), SECOND: cases(4), None: cases(4)}
    asked = {FIRST: probes(1), SECOND: probes(2), None: probes(2)}
    return InMemoryGoldenSource(cases=held, probes=asked)


@pytest.mark.parametrize(("revision", "size"), [(None, 4), (FIRST, 3), (SECOND, 4)])
def test_a_set_is_the_same_wherever_it_is_read(
    source: GoldenSource, revision: str | None, size: int
) -> None:
    golden = source.load(revision, LABELS)
    assert golden.size == size
    assert golden.digest == golden_digest(canonical(cases(size)))
    assert all(case.text for case in golden.cases)
    assert [probe.id for probe in source.load_probes(revision)] == ["p-0", "p-1"][: size - 2]
    assert (revision or "") in golden.revision


def test_an_unknown_revision_is_a_config_error(source: GoldenSource) -> None:
    for load in (lambda: source.load("golden-9.9.9", LABELS), lambda: source.load_probes("-v")):
        with pytest.raises(ConfigError, match=r"golden revision '(golden-9\.9\.9|-v)'"):
            load()


def test_a_label_the_task_does_not_know_is_a_config_error(source: GoldenSource) -> None:
    with pytest.raises(ConfigError, match="has label 'joy'; expected one of 'sad'") as caught:
        source.load(FIRST, ["sad"])
    assert SECRET not in str(caught.value)


def test_a_revision_may_be_a_branch_or_a_commit(released: Path) -> None:
    source = DvcGoldenSource(released)
    expected = source.load(FIRST, LABELS).digest
    assert source.load("HEAD~1", LABELS).digest == expected
    commit = subprocess.run(
        ["git", "rev-parse", FIRST], cwd=released, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert source.load(commit, LABELS).digest == expected


def test_an_existing_file_is_read_as_it_is(released: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.jsonl"
    own.write_bytes(to_jsonl(cases(2)))
    source = DvcGoldenSource(released)
    assert source.load(str(own), LABELS).size == 2
    assert source.load(str(own), LABELS).revision == str(own)
    assert len(source.load_probes(str(own))) == 2  # the working tree's
    (tmp_path / "probes.jsonl").write_bytes(to_jsonl(probes(1)))
    assert len(source.load_probes(str(own))) == 1  # those beside it


def test_files_that_were_never_built_are_a_config_error_that_says_how(repository: Path) -> None:
    for name in ("golden.jsonl", "probes.jsonl"):
        (repository / "golden_data" / name).unlink()
    source = DvcGoldenSource(repository)
    for load in (lambda: source.load(None, LABELS), lambda: source.load_probes(None)):
        with pytest.raises(ConfigError, match=r"no such file; run `dvc repro` .*or `dvc pull`"):
            load()


def test_an_edited_working_tree_is_not_used(repository: Path) -> None:
    path = repository / "golden_data" / "golden.jsonl"
    path.write_bytes(to_jsonl(canonical(cases(4)[:3])))
    with pytest.raises(ConfigError, match=r"not used: its SHA-256 is .* expected .*`dvc repro`"):
        DvcGoldenSource(repository).load(None, LABELS)


@pytest.mark.parametrize("revision", [FIRST, SECOND])
def test_a_tampered_cache_is_never_used(repository: Path, revision: str) -> None:
    tamper(repository / ".dvc" / "cache")
    source = DvcGoldenSource(repository)
    for load in (lambda: source.load(revision, LABELS), lambda: source.load_probes(revision)):
        with pytest.raises(ConfigError, match=f"@{revision}: not used: its SHA-256") as caught:
            load()
        assert SECRET not in str(caught.value)


def test_without_a_cache_the_remote_is_read_and_compared_too(repository: Path) -> None:
    shutil.rmtree(repository / ".dvc" / "cache")
    source = DvcGoldenSource(repository)
    assert source.load(FIRST, LABELS).size == 3
    tamper(repository / ".dvc-remote")
    with pytest.raises(ConfigError, match="not used: its SHA-256"):
        source.load(FIRST, LABELS)


def test_a_tampered_cache_that_was_checked_out_is_not_used(repository: Path) -> None:
    tamper(repository / ".dvc" / "cache")
    for name in ("golden.jsonl", "probes.jsonl"):
        (repository / "golden_data" / name).unlink()
    run(repository, sys.executable, "-m", "dvc", "checkout", "-q", "--force")
    with pytest.raises(ConfigError, match="not used: its SHA-256"):
        DvcGoldenSource(repository).load(None, LABELS)


def lose_everything(root: Path) -> None:
    shutil.rmtree(root / ".dvc" / "cache")
    shutil.rmtree(root / ".dvc-remote")


def lose_cache_and_remote(root: Path) -> None:
    shutil.rmtree(root / ".dvc" / "cache")
    run(root, sys.executable, "-m", "dvc", "remote", "remove", "-q", "local")


@pytest.mark.parametrize("lose", [lose_everything, lose_cache_and_remote])
def test_data_that_is_nowhere_is_an_infrastructure_error(
    repository: Path, lose: Callable[[Path], None]
) -> None:
    lose(repository)
    with pytest.raises(InfrastructureError, match=r"run `dvc pull`, or check out 'golden-1\.0\.0'"):
        DvcGoldenSource(repository).load(FIRST, LABELS)


def test_a_revision_without_a_frozen_set_is_a_config_error(repository: Path) -> None:
    run(repository, "git", "rm", "-q", "--cached", "golden_data/golden.digest.json")
    run(repository, "git", "commit", "-q", "-m", "without")
    with pytest.raises(ConfigError, match=r"'HEAD': holds no golden_data/golden\.digest\.json"):
        DvcGoldenSource(repository).load("HEAD", LABELS)


def test_a_broken_digest_file_is_a_config_error(repository: Path) -> None:
    path = repository / "golden_data" / "golden.digest.json"
    path.write_text('{"version": "1"}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"golden\.digest\.json: version: "):
        DvcGoldenSource(repository).load(None, LABELS)


def test_outside_git_and_outside_dvc_the_error_says_so(tmp_path: Path, repository: Path) -> None:
    with pytest.raises(ConfigError, match=r"Git refuses it .*not a git repository"):
        DvcGoldenSource(tmp_path).load("main", LABELS)
    shutil.rmtree(repository / ".dvc")
    with pytest.raises((ConfigError, InfrastructureError), match="DVC"):
        DvcGoldenSource(repository).load(FIRST, LABELS)


def test_importing_the_adapter_does_not_import_dvc() -> None:
    program = "import sys, assay.adapters.golden_dvc; sys.exit('dvc' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)
    assert done.returncode == 0
