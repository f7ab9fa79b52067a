"""Who published a golden set: its manifest is held against the trust file wherever a set is read.

A real Git repository with a real DVC cache, published with a real key; and the same held against a
trust file that lists another key, none, or the key as revoked.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from assay.adapters.golden_dvc import DvcGoldenSource
from assay.cli import main
from assay.errors import ArtifactError, ConfigError
from assay.golden_frozen import canonical, describe_frozen, to_jsonl
from assay.golden_manifest import MANIFEST_FILE
from assay.golden_trust import GoldenTrust
from assay.records import VerdictKind
from flows.conduct import conduct
from flows.golden_watch import look
from flows.golden_wiring import wire_publication
from flows.settings import from_environment
from flows.steps import PlainSteps
from flows.watch_golden import health_now
from flows.wiring import golden_source
from tests.artifact_factory import make_keys
from tests.flows.golden_repo import IDENTITY, Desk, dvc, make_desk, make_repository, run
from tests.gate_rig import make_rig
from tests.golden_examples import LABELS, cases, probes

TAG = "golden-v1.1.0"
LISTED = "golden: {curators: [{name: data, public_key: keys/release.pub}]}"
REVISIONS = pytest.mark.parametrize("revision", [None, TAG], ids=["working tree", "tag"])


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which 1.1.0 was published, and two keys beside it."""
    root = tmp_path_factory.mktemp("released") / "repository"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in IDENTITY.items():
            patch.setenv(name, value)
        make_repository(root, "../remote")
        make_desk(root).publish()
    make_keys(root.parent / "keys", "other")
    return root.parent


@pytest.fixture
def place(released: Path, tmp_path: Path) -> Path:
    """A copy that the test may damage."""
    return Path(shutil.copytree(released, tmp_path / "place"))


def trust_file(place: Path, text: str) -> Path:
    path = place / "trust.yaml"
    path.write_text(f"schema_version: 1\n{text}\n")
    return path


def source(place: Path, text: str = LISTED) -> DvcGoldenSource:
    trust = GoldenTrust.load(trust_file(place, text))
    return DvcGoldenSource(place / "repository", trust=trust)


def manifest(place: Path) -> Path:
    return place / "repository" / "golden_data" / MANIFEST_FILE


def commit_as_the_tag(place: Path) -> None:
    root = place / "repository"
    run(root, "git", "commit", "-qam", "changed")
    run(root, "git", "tag", "-f", TAG)


@REVISIONS
def test_a_set_that_a_listed_curator_published_is_read(place: Path, revision: str | None) -> None:
    reads = source(place)
    assert reads.load(revision, LABELS).size == 5
    assert len(reads.load_probes(revision)) == 1
    stated = reads.manifest(revision)
    assert stated is not None
    assert (stated.who, stated.frozen.version) == ("curator", "1.1.0")


def test_a_gates_own_key_may_publish_too(place: Path) -> None:
    reads = source(place, "gates: [{name: gate, public_key: keys/release.pub}]")
    assert reads.load(TAG, LABELS).size == 5


@REVISIONS
@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ("golden: {curators: [{name: x, public_key: keys/other.pub}]}", "no trusted key signed it"),
        (LISTED.replace("}]}", ", revoked: true}]}"), "key 'data' is revoked"),
        (LISTED.replace("}]}", ", valid_until: 2020-01-01T00:00:00Z}]}"), "was valid until"),
        ("keys: [{name: models, public_key: keys/release.pub}]", "no trusted key signed it"),
    ],
    ids=["another key", "revoked", "ended", "a key for models only"],
)
def test_a_set_that_nobody_trusted_published_is_refused_and_the_candidate_is_not(
    place: Path, revision: str | None, listed: str, reason: str
) -> None:
    reads = source(place, listed)
    for load in (lambda: reads.load(revision, LABELS), lambda: reads.load_probes(revision)):
        with pytest.raises(ConfigError, match=reason) as caught:  # never a rejection of a model
            load()
        assert caught.value.code == "untrusted-key"
        assert "golden.curators" in str(caught.value)


def write_other_set(place: Path) -> None:
    """What somebody can do who writes to the repository, and holds no key."""
    folder = place / "repository" / "golden_data"
    digest = json.loads((folder / "golden.digest.json").read_text())
    held, probing = canonical(cases(4)), canonical(probes(1))
    (folder / "golden.jsonl").unlink()
    (folder / "golden.jsonl").write_bytes(to_jsonl(held))
    made = describe_frozen(digest["version"], held, probing)
    (folder / "golden.digest.json").write_bytes(made.to_bytes())


def flip_a_byte(place: Path) -> None:
    path = manifest(place)
    envelope = json.loads(path.read_text())
    payload = envelope["payload"]
    envelope["payload"] = payload[:40] + ("A" if payload[40] != "A" else "B") + payload[41:]
    path.write_text(json.dumps(envelope))


def garble(place: Path) -> None:
    manifest(place).write_text("not a manifest")


def empty(place: Path) -> None:
    manifest(place).write_bytes(b"")


@REVISIONS
@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (write_other_set, "golden-manifest"),
        (flip_a_byte, "untrusted-key"),
        (garble, "envelope"),
        (empty, "envelope"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_with_a_reason(
    place: Path, revision: str | None, tamper: Callable[[Path], None], code: str
) -> None:
    tamper(place)
    if revision is not None:
        root = place / "repository"
        if tamper is write_other_set:
            dvc(root, "add", "-q", "golden_data/golden.jsonl")
        commit_as_the_tag(place)
    with pytest.raises(ConfigError, match=MANIFEST_FILE) as caught:
        source(place).load(revision, LABELS)
    assert caught.value.code == code
    with pytest.raises(ArtifactError, match=MANIFEST_FILE):
        source(place).manifest(revision)


def test_an_older_versions_manifest_vouches_for_no_other(place: Path, tmp_path: Path) -> None:
    kept = manifest(place).read_bytes()
    desk = Desk(root=place / "repository")
    held = canonical([*cases(5), replace(cases(6)[5], added_in="1.2.0")])
    desk.proposal.write_bytes(to_jsonl(held))
    desk.publish(base="1.1.0", why="one more")
    assert source(place).load(None, LABELS).size == 6
    manifest(place).write_bytes(kept)
    with pytest.raises(ConfigError, match=r"manifest of version '1\.1\.0'.*expected '1\.2\.0'"):
        source(place).load(None, LABELS)


def test_a_missing_manifest_is_no_error_unless_the_trust_file_requires_one(place: Path) -> None:
    manifest(place).unlink()
    assert source(place).load(None, LABELS).size == 5
    assert source(place).load(f"{TAG}^", LABELS).size == 3, "1.0.0 was frozen by hand"
    required = source(place, LISTED.replace("]}", "], manifest: required}"))
    assert required.load(TAG, LABELS).size == 5
    for revision in (None, f"{TAG}^", str(place / "proposed.jsonl")):
        with pytest.raises(ConfigError, match="requires a signed manifest") as caught:
            required.load(revision, LABELS)
        assert caught.value.code == "golden-unpublished"


def test_the_file_beside_the_set_that_was_published_with_it_is_compared(place: Path) -> None:
    from assay.golden_manifest import GoldenPredicate

    stated = source(place).manifest(None)
    assert stated is not None
    ledger = place / "repository" / "golden_data" / "answers.jsonl"
    reads = source(place)
    with_ledger = GoldenPredicate.model_validate(
        stated.model_dump() | {"files": {"answers.jsonl": f"sha256:{'0' * 64}"}}
    )
    reads._check_beside(with_ledger)  # not checked out: nothing to compare
    ledger.write_text("{}\n")
    with pytest.raises(ArtifactError, match=r"answers\.jsonl: its digest is"):
        reads._check_beside(with_ledger)


def test_whoever_publishes_may_replace_a_version_that_nobody_believes(place: Path) -> None:
    garble(place)
    commit_as_the_tag(place)
    desk = Desk(root=place / "repository")
    held = canonical([*cases(5), replace(cases(6)[5], added_in="1.2.0")])
    desk.proposal.write_bytes(to_jsonl(held))
    assert desk.publish(base="1.1.0", why="signed anew").version == "1.2.0"
    assert source(place).load(None, LABELS).size == 6


def test_a_gate_on_a_set_that_was_tampered_with_is_invalid_and_blames_no_model(
    place: Path, tmp_path: Path
) -> None:
    (tmp_path / "gate").mkdir()
    rig = make_rig(tmp_path / "gate")
    write_other_set(place)
    result = conduct(
        rig.request("1.1.0"),
        settings=rig.settings,
        ports=replace(rig.ports(), golden=source(place)),
        steps=PlainSteps(rig.said.append, wait_s=0.001),
        progress=rig.said.append,
    )
    assert result.verdict.verdict is VerdictKind.INVALID
    (problem,) = result.verdict.context.problems
    assert problem.where == "golden set"
    assert "[golden-manifest]" in f"{problem.reason} {problem.action}"


def test_the_gates_source_and_the_command_take_the_trust_file_of_the_settings(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place / "repository")
    monkeypatch.setenv("ASSAY_HOME", str(place / "home"))
    monkeypatch.setenv("ASSAY_TRUST", str(trust_file(place, LISTED)))
    assert golden_source(from_environment()).load(None, LABELS).size == 5
    assert checked(capfd)["status"] == "passed"
    manifest(place).unlink()
    assert checked(capfd)["status"] == "undecided"
    trust_file(place, LISTED.replace("]}", "], manifest: required}"))
    found = checked(capfd)
    assert found["status"] == "failed"
    assert "requires a signed manifest" in found["reason"]
    run(place / "repository", "git", "checkout", "-q", "--", "golden_data")
    trust_file(place, "keys: [{name: models, public_key: keys/release.pub}]")
    found = checked(capfd)
    assert (found["status"], found["gating"]) == ("failed", True)
    assert "no trusted key signed it" in found["reason"]
    with pytest.raises(ConfigError, match="no trusted key signed it"):
        golden_source(from_environment()).load(None, LABELS)


def test_the_watch_finds_a_set_that_is_no_longer_what_was_published(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place / "repository")
    monkeypatch.setenv("ASSAY_HOME", str(place / "home"))
    monkeypatch.setenv("ASSAY_TRUST", str(trust_file(place, LISTED)))

    def broken() -> set[str]:
        settings = from_environment()
        health = health_now(settings, revision=None, model=None, traffic=None)
        return set(look(health, settings.home).change.broken)

    assert "provenance/manifest" not in broken()
    write_other_set(place)
    assert "provenance/manifest" in broken(), "which raises the event"


def checked(capfd: pytest.CaptureFixture[str]) -> dict[str, object]:
    """Runs `assay golden check`; returns the row of the manifest. The exit code fits the whole."""
    capfd.readouterr()
    code = main(["golden", "check", "--json"])
    document = json.loads(capfd.readouterr().out)
    assert code == (0 if document["healthy"] else 10)
    (row,) = (one for one in document["checks"] if one["check"] == "provenance/manifest")
    return dict(row)


def test_a_key_holds_one_office(place: Path) -> None:
    both = "gates: [{name: gate, public_key: keys/release.pub}]\n" + LISTED
    with pytest.raises(ConfigError, match="the same public key"):
        source(place, both)


def test_publishing_with_a_key_that_this_machine_does_not_list_is_said_first(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(text: str) -> list[str]:
        monkeypatch.setenv("ASSAY_TRUST", str(trust_file(place, text)))
        said: list[str] = []
        wire_publication(
            from_environment(),
            root=place / "repository",
            key=place / "keys" / "release.key",
            gate=None,
            steps=PlainSteps(said.append),
            progress=said.append,
        )
        return said

    monkeypatch.setenv("ASSAY_HOME", str(place / "home"))
    assert told(LISTED) == []
    (said,) = told("keys: [{name: models, public_key: keys/other.pub}]")
    assert "will not believe what it signs: it is not listed" in said
