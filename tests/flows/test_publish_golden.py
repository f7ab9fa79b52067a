"""Publishing a golden version: a real Git repository, a real DVC cache, a real remote."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from assay.adapters.golden_dvc import DvcGoldenSource
from assay.errors import ArtifactError, AssayError, ConfigError, InfrastructureError
from assay.golden_manifest import MANIFEST_FILE, verify_manifest
from assay.trust import TrustedKeys, trusted_key
from tests.flows.golden_repo import IDENTITY, Desk, dvc, make_desk, make_repository, run
from tests.golden_examples import LABELS

STEPS = (
    "check the repository",
    "read the proposal",
    "check the cases",
    "build the version",
    "push the data",
    "read it back from the remote",
    "commit it",
    "tag it",
    "note it in the audit log",
    "check it out",
    "record it",
)
AFTER_THE_TAG = {(step, True) for step in STEPS[STEPS.index("tag it") :]}


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_repository(folder / "repository", "../remote")
    return folder


@pytest.fixture
def desk(made: Path, tmp_path: Path) -> Desk:
    root = tmp_path / "desk" / "repository"
    shutil.copytree(made / "repository", root)
    return make_desk(root)


def in_force(desk: Desk) -> str:
    """The version that the newest tag names, or the one before any tag."""
    tags = run(desk.root, "git", "tag", "--list", "golden-v*").split()
    return max(tags, default="")


def assert_new(desk: Desk) -> None:
    golden = desk.source.load("golden-v1.1.0", LABELS)
    assert (golden.size, golden.cases[0].label) == (5, "anger")
    assert desk.source.load(None, LABELS).digest == golden.digest
    assert run(desk.root, "git", "status", "--porcelain", "--untracked-files=no") == ""
    assert len(run(desk.root, "git", "worktree", "list").splitlines()) == 1


def test_a_published_version_is_tagged_signed_told_and_fetchable_elsewhere(
    desk: Desk, tmp_path: Path
) -> None:
    done = desk.publish()
    assert (done.version, done.base, done.branch) == ("1.1.0", "1.0.0", "golden/v1.1.0")
    assert done.changes.counts["added"] == 2
    assert_new(desk)
    assert list(desk.log.held) == [(done.digest, "golden-v1.1.0")]
    place = desk.root / "golden_data"
    told = (place / "CHANGELOG.md").read_text()
    assert "## 1.1.0" in told
    assert "more anger" in told
    assert "1 relabelled: c-0 (joy → anger)" in told
    assert "words nobody may see" not in told

    key = trusted_key(desk.root.parent / "keys" / "release.pub", name="curator")
    frozen_by = verify_manifest(
        (place / MANIFEST_FILE).read_bytes(),
        _frozen(desk, "golden-v1.1.0"),
        TrustedKeys((key,)),
        "manifest",
    )
    assert (frozen_by.base.version, frozen_by.why) == ("1.0.0", "more anger")
    with pytest.raises(AssayError, match="manifest of version"):
        verify_manifest(
            (place / MANIFEST_FILE).read_bytes(),
            _frozen(desk, "golden-v1.1.0^"),
            TrustedKeys((key,)),
            "manifest",
        )

    clone = tmp_path / "desk" / "clone"  # beside the repository: ../remote is the same remote
    run(tmp_path, "git", "clone", "-q", str(desk.root), str(clone))
    dvc(clone, "pull", "-q", "golden_data/golden.jsonl")
    assert DvcGoldenSource(clone).load("golden-v1.1.0", LABELS).digest == done.digest


def _frozen(desk: Desk, revision: str):  # type: ignore[no-untyped-def]
    from assay.adapters.golden_repository import GoldenRepository

    return GoldenRepository(desk.root).frozen(revision)


# Right before a step is right after the one before it.
@pytest.mark.parametrize(("step", "after"), [(STEPS[0], False), *((one, True) for one in STEPS)])
def test_killed_at_a_step_one_version_is_in_force_and_the_same_command_goes_on(
    desk: Desk, step: str, after: bool
) -> None:
    with pytest.raises(KeyboardInterrupt):
        desk.publish(interrupt_at=(step, after))
    expected = "golden-v1.1.0" if (step, after) in AFTER_THE_TAG else ""
    assert in_force(desk) == expected
    assert desk.source.load(None, LABELS).size in (3, 5)
    assert desk.publish().resumed == bool(expected)
    assert_new(desk)
    assert len(desk.log.held) == 1
    assert len(desk.audit.verify().entries) == 1


def test_a_publication_is_in_the_audit_log_with_version_digest_and_who(desk: Desk) -> None:
    with pytest.raises(KeyboardInterrupt):
        desk.publish(interrupt_at=("commit it", True))
    assert desk.audit.entries() == (), "nothing was published"
    done = desk.publish()
    (entry,) = desk.audit.verify().entries
    assert (entry.what, entry.who, entry.version) == ("golden published", "curator", "1.1.0")
    assert entry.digests == {"golden": done.digest}
    assert entry.note == f"golden-v1.1.0, commit {done.commit[:12]}: more anger"


def test_a_broken_audit_log_is_said_and_the_same_command_goes_on_once_it_is_mended(
    desk: Desk,
) -> None:
    path = desk.root.parent / "audit.jsonl"
    path.write_text("{}\n")
    with pytest.raises(ArtifactError, match="audit-log"):
        desk.publish()
    assert in_force(desk) == "golden-v1.1.0"
    path.unlink()
    assert desk.publish().resumed
    assert_new(desk)
    assert len(desk.audit.verify().entries) == 1


def test_publishing_twice_changes_nothing(desk: Desk) -> None:
    first = desk.publish()
    again = desk.publish()
    assert again.resumed
    assert (again.commit, again.version) == (first.commit, "1.1.0")
    assert run(desk.root, "git", "rev-parse", "HEAD") == first.commit


def test_a_push_that_fails_leaves_the_old_version_in_force(desk: Desk) -> None:
    (desk.root.parent / "remote").write_text("a file where the remote's folder should be")
    with pytest.raises(InfrastructureError, match="still the old one"):
        desk.publish()
    assert in_force(desk) == ""
    assert desk.source.load(None, LABELS).size == 3
    (desk.root.parent / "remote").unlink()
    desk.publish()
    assert_new(desk)


def test_an_uncommitted_change_is_refused(desk: Desk) -> None:
    (desk.root / "task.yaml").write_text((desk.root / "task.yaml").read_text() + "# mine\n")
    with pytest.raises(ConfigError, match=r"uncommitted changes \(task.yaml\)"):
        desk.publish()


def test_a_golden_file_edited_in_place_is_not_overwritten(desk: Desk) -> None:
    path = desk.root / "golden_data" / "golden.jsonl"
    path.write_text(path.read_text().replace("joy", "anger", 1))
    with pytest.raises(ConfigError, match="would be lost"):
        desk.publish()
    assert "anger" in path.read_text()


def test_a_missing_remote_is_said_before_anything_begins(desk: Desk) -> None:
    dvc(desk.root, "remote", "remove", "team")
    run(desk.root, "git", "commit", "-qam", "no remote")
    with pytest.raises(ConfigError, match="dvc remote add --default"):
        desk.publish()


def test_a_tag_of_another_set_is_never_moved(desk: Desk) -> None:
    run(desk.root, "git", "tag", "golden-v1.1.0")
    with pytest.raises(ConfigError, match="exists already"):
        desk.publish()
    assert desk.publish(version="1.2.0").version == "1.2.0"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": "0.9.0"}, "the version in force"),
        ({"base": None}, "does not say what it was made from"),
        ({"version": "1.0.0"}, "a higher one"),
        ({"version": "1.1"}, "three numbers"),
        ({"version": "1.1.0", "bump": "minor"}, "both given"),
        ({"why": " "}, "--why"),
    ],
)
def test_a_wrong_request_changes_nothing(desk: Desk, changes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        desk.publish(**changes)
    assert in_force(desk) == ""


def test_cases_that_fail_their_checks_are_not_published(desk: Desk) -> None:
    lines = desk.proposal.read_text().splitlines()
    desk.proposal.write_text("\n".join([*lines, lines[0].replace('"c-0"', '"c-9"')]) + "\n")
    with pytest.raises(ConfigError, match="no text appears twice"):
        desk.publish()
    assert in_force(desk) == ""


KILLED = """
import os, sys, pathlib
sys.path.insert(0, {tests!r})
from tests.flows.golden_repo import Desk
desk = Desk(root=pathlib.Path({root!r}))
class Loud(list):
    def append(self, line):
        print(line, flush=True)
desk.said = Loud()
desk.publish()
"""


@pytest.mark.parametrize(("step", "new"), [("push the data", False), ("check it out", True)])
def test_sigkill_leaves_one_version_in_force_and_the_same_command_goes_on(
    desk: Desk, step: str, new: bool
) -> None:
    tests = str(Path(__file__).parents[2])
    code = KILLED.format(tests=tests, root=str(desk.root))
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tests
    )
    assert process.stdout is not None
    while line := process.stdout.readline():
        if line.strip() == step:
            break
    else:
        pytest.fail(f"the step {step!r} never began")
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    process.stdout.close()
    assert in_force(desk) == ("golden-v1.1.0" if new else "")
    desk.publish()
    assert_new(desk)
