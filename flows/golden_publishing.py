"""Publishing a golden version, from a proposal to a scored baseline, as plain code.

::

    check ─▶ build, push, read back, commit ─▶ tag ═▶ log ─▶ check out ─▶ record ─▶ score
             (throwaway tree; nothing names it)  │      (the new version is in force)  production

Decides the order of things and what a failure means. Before the tag the old version is in force and
nothing of the new one is named by anything; from the tag on the new one is, and what is left only
follows it. Every step looks at what is there, so the same command goes on where a killed one
stopped: it finds its own tag by the proposal that the commit names.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from assay.adapters.golden_repository import TRAILER, GoldenRepository, branch_name, tag_name
from assay.audit_log import AuditLog
from assay.errors import ConfigError
from assay.golden_diff import GoldenDiff, diff
from assay.golden_frozen import DIGEST_FILE, GOLDEN_FILE, PROBES_FILE, FrozenGolden
from assay.golden_manifest import (
    MANIFEST_FILE,
    BaseVersion,
    GoldenPredicate,
    proposal_digest,
    statement,
)
from assay.golden_set import GoldenSet
from assay.ports import GoldenSource, GoldenValidator, Progress
from assay.records import FindingStatus
from assay.task import load_task
from flows.golden_build import Built, build, write_changelog
from flows.golden_proposal import Proposal, load_proposal
from flows.steps import Steps

Bump = Literal["major", "minor", "patch"]


class GoldenLog(Protocol):
    """Where published versions are recorded for whoever looks for a dataset."""

    def record(self, golden: GoldenSet, *, tag: str, facts: Mapping[str, str]) -> str:
        """Records a version once; returns where. The same version again changes nothing.

        Raises:
            InfrastructureError: the log cannot be reached.
        """
        ...


class Rescorer(Protocol):
    """Asks production the new version, so that the next gate has its baseline."""

    def __call__(self, revision: str) -> str:
        """Asks what is missing at a revision; returns a sentence about what was done, or why not.

        Raises:
            InfrastructureError: an engine, the store or the registry failed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRequest:
    """One publication, as asked for. Of `version` and `bump`, at most one is given.

    `base` says which version a golden file was made from; a proposal's folder says it itself.
    """

    proposal: Path
    why: str
    version: str | None = None
    bump: Bump | None = None
    base: str | None = None
    task: Path = Path("task.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishPorts:
    """What publishing needs from the outside. `rescore` is None where nobody asked for it."""

    repository: GoldenRepository
    source: GoldenSource
    validator: GoldenValidator
    log: GoldenLog
    audit: AuditLog
    key: Path | None
    who: str
    rescore: Rescorer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A version that is in force. `resumed` when it was so before this call."""

    version: str
    tag: str
    branch: str
    commit: str
    digest: str
    base: str
    why: str
    changes: GoldenDiff
    resumed: bool = False
    recorded_as: str = ""
    baseline: str = ""


def publish(
    request: PublishRequest,
    *,
    ports: PublishPorts,
    steps: Steps,
    progress: Progress,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Published:
    """Publishes a golden version, or goes on with a publication that was killed.

    Raises:
        ConfigError: the request, the repository or the proposal is wrong; nothing was changed.
        ArtifactError: the proposal is not what was proposed.
        InfrastructureError: the remote, MLflow or an engine failed; the same command goes on.
    """
    with ports.repository.alone():
        return _Publication(request, ports, steps, progress, now).run()


class _Publication:
    def __init__(
        self,
        request: PublishRequest,
        ports: PublishPorts,
        steps: Steps,
        progress: Progress,
        now: Callable[[], datetime],
    ) -> None:
        self.request, self.ports, self.steps = request, ports, steps
        self.progress, self.now, self.repository = progress, now, ports.repository
        self.labels = load_task(request.task).labels

    def run(self) -> Published:
        self._complete_request()
        self.steps.run("check the repository", self.repository.check)
        proposal = self.steps.run("read the proposal", self._proposal)
        found = self._released_before(proposal)
        if found is None:
            found = self._released(proposal)
        return self._follow(found, proposal.golden)

    def _complete_request(self) -> None:
        if not self.request.why.strip():
            raise ConfigError("--why: empty; expected a sentence that the changelog will show")
        if self.request.version and self.request.bump:
            raise ConfigError("--version and --bump are both given; expected one; leave one out")
        if self.ports.key is None:
            raise ConfigError(
                "no signing key; expected one, because a golden version is published under a "
                "signature; make one with `assay store keygen --gate`, or name yours with --key"
            )

    def _proposal(self) -> Proposal:
        return load_proposal(self.request.proposal, self.labels)

    # --- has it been published already? ---------------------------------------------------------

    def _released_before(self, proposal: Proposal) -> Published | None:
        """Returns this very proposal's version if its tag is there: a killed run had got so far."""
        current = self.repository.frozen()
        versions = {self._version(proposal, current), current.version}
        if self.request.version:
            versions = {self.request.version}
        for version in sorted(versions):
            commit = self.repository.commit_of(f"refs/tags/{tag_name(version)}")
            if commit is None or self.repository.commit_of(f"{commit}^") is None:
                continue
            stated = self.repository.proposal_of(commit)
            if stated is None:
                continue
            base = self.repository.frozen(f"{commit}^")
            if stated == proposal_digest(base.golden.digest, proposal.golden.digest):
                self.repository.check_data([current, base])
                self.progress(f"{tag_name(version)} is published already: going on from there")
                return self._published(proposal.golden, version, commit, base, resumed=True)
        return None

    def _version(self, proposal: Proposal, current: FrozenGolden) -> str:
        if self.request.version:
            return self.request.version
        if self.request.bump is None and proposal.version:
            return proposal.version
        return bumped(current.version, self.request.bump or "minor")

    # --- up to the tag --------------------------------------------------------------------------

    def _released(self, proposal: Proposal) -> Published:
        base = self.repository.frozen()
        version = self._version(proposal, base)
        self._check_may_begin(proposal, base, version)
        self.steps.run("check the cases", lambda: self._check_cases(proposal.golden))
        change = self._compared(proposal.golden, base)
        head = self.repository.head()
        with self.repository.worktree(head) as tree:
            built = self.steps.run(
                "build the version", lambda: self._build(tree, proposal, base, version)
            )
            self.steps.run(
                "push the data", lambda: self.repository.push(tree, built.data), retries=1
            )
            self.steps.run("read it back from the remote", lambda: self._read_back(tree, built))
            commit = self.steps.run(
                "commit it", lambda: self._commit(tree, proposal, built, base, change)
            )
        self.steps.run("tag it", lambda: self.repository.release(commit, version, self.request.why))
        return self._published(proposal.golden, version, commit, base, resumed=False)

    def _check_may_begin(self, proposal: Proposal, base: FrozenGolden, version: str) -> None:
        self.repository.check_data([base])
        _check_follows(version, base.version)
        tag = tag_name(version)
        if self.repository.commit_of(f"refs/tags/{tag}") is not None:
            raise ConfigError(
                f"tag {tag!r}: exists already and names another set; a published version never "
                "changes; choose a higher --version, or --bump"
            )
        if proposal.version not in (None, version):
            raise ConfigError(
                f"{self.request.proposal}: its new cases name version {proposal.version!r}, found "
                f"{version!r} as the version to publish; expected the same; leave --version and "
                "--bump out, or ingest again with that version"
            )
        stated = proposal.base
        if stated is None:
            if self.request.base != base.version:
                raise ConfigError(
                    f"--base: found {self.request.base!r}, expected {base.version!r}, the version "
                    "in force: a golden file does not say what it was made from; say so, or make "
                    "it from the version in force"
                )
        elif stated != base.golden.digest:
            raise ConfigError(
                f"{self.request.proposal}: was made from {stated!r}; expected the version in "
                f"force, {base.version} with {base.golden.digest!r}: publishing it would undo what "
                "changed since; ingest again on top of the version in force"
            )
        if proposal.golden.digest == base.golden.digest:
            raise ConfigError(
                f"{self.request.proposal}: is the version in force, {base.version}; nothing to "
                "publish"
            )

    def _check_cases(self, golden: GoldenSet) -> None:
        findings = self.ports.validator.check(golden, self.labels)
        failed = [one.reason for one in findings if one.status is not FindingStatus.PASSED]
        if failed:
            raise ConfigError(f"{self.request.proposal}: {' '.join(failed)}")

    def _compared(self, golden: GoldenSet, base: FrozenGolden) -> GoldenDiff:
        before = self.ports.source.load(self.repository.head(), self.labels)
        if before.digest != base.golden.digest:
            raise ConfigError(
                f"{DIGEST_FILE}: names {base.golden.digest!r}, but the data at HEAD is "
                f"{before.digest!r}; expected them to agree; run `dvc repro` and commit"
            )
        return diff(before, golden)

    def _build(self, tree: Path, proposal: Proposal, base: FrozenGolden, version: str) -> Built:
        return build(
            tree,
            self.repository.folder,
            golden=proposal.golden,
            base=base,
            version=version,
            beside=proposal.beside,
            staged=self.repository.is_staged(),
        )

    def _read_back(self, tree: Path, built: Built) -> None:
        folder = self.repository.folder
        self.repository.read_back(tree, f"{folder}/{GOLDEN_FILE}", built.frozen.golden.sha256)
        for name, digest in built.beside.items():
            self.repository.read_back(tree, f"{folder}/{name}", digest.removeprefix("sha256:"))

    def _commit(
        self, tree: Path, proposal: Proposal, built: Built, base: FrozenGolden, change: GoldenDiff
    ) -> str:
        place, at = tree / self.repository.folder, self.now()
        identity = proposal_digest(base.golden.digest, proposal.golden.digest)
        write_changelog(place, built, change, self.request.why, at)
        predicate = GoldenPredicate(
            frozen=built.frozen,
            base=BaseVersion(version=base.version, digest=base.golden.digest),
            files=dict(built.beside),
            changes=change.counts,
            why=self.request.why,
            who=self.ports.who,
            proposal=identity,
            signed_at=at,
        )
        (place / MANIFEST_FILE).write_bytes(self._signed(predicate))
        subject = f"Golden set {built.frozen.version}"
        return self.repository.commit(
            tree, f"{subject}\n\n{self.request.why}\n\n{TRAILER}: {identity}\n"
        )

    def _signed(self, predicate: GoldenPredicate) -> bytes:
        from assay.adapters.signer_dsse import sign_statement

        if self.ports.key is None:
            raise ConfigError("no signing key; name one with --key")
        return sign_statement(statement(predicate).canonical(), self.ports.key)

    def _published(
        self, golden: GoldenSet, version: str, commit: str, base: FrozenGolden, *, resumed: bool
    ) -> Published:
        before = self.ports.source.load(f"{commit}^", self.labels)
        return Published(
            version=version,
            tag=tag_name(version),
            branch=branch_name(version),
            commit=commit,
            digest=golden.digest,
            base=base.version,
            why=self.request.why,
            changes=diff(before, golden),
            resumed=resumed,
        )

    # --- after the tag --------------------------------------------------------------------------

    def _follow(self, found: Published, golden: GoldenSet) -> Published:
        folder = self.repository.folder
        paths = [f"{folder}/{name}" for name in (GOLDEN_FILE, PROBES_FILE)]
        self.steps.run("note it in the audit log", lambda: self._note(found))
        self.steps.run(
            "check it out", lambda: self.repository.check_out(found.commit, paths), retries=1
        )
        place = self.steps.run(
            "record it",
            lambda: self.ports.log.record(golden, tag=found.tag, facts=self._facts(found)),
            retries=2,
        )
        baseline = (
            "production was not scored on this version: no model was named (--model); the next "
            "gate asks production itself"
        )
        if self.ports.rescore is not None:
            baseline = self.ports.rescore(found.tag)
        self.progress(baseline)
        return replace(found, recorded_as=place, baseline=baseline)

    def _note(self, found: Published) -> None:
        """Writes the publication into the audit log, once however often it is gone on with."""
        golden, audit = {"golden": found.digest}, self.ports.audit
        if any(
            (one.what, one.version, one.digests) == ("golden published", found.version, golden)
            for one in audit.entries()
        ):
            return
        audit.append(
            "golden published",
            who=self.ports.who,
            at=self.now(),
            version=found.version,
            about=golden,
            note=f"{found.tag}, commit {found.commit[:12]}: {found.why}"[:2000],
        )

    def _facts(self, found: Published) -> dict[str, str]:
        counts = {name: count for name, count in found.changes.counts.items() if count}
        return {
            "commit": found.commit,
            "base": found.base,
            "why": found.why,
            "who": self.ports.who,
            "changes": json.dumps(counts),
        }


def bumped(version: str, bump: Bump) -> str:
    """Returns the next version."""
    major, minor, patch = map(int, version.split("."))
    return {
        "major": f"{major + 1}.0.0",
        "minor": f"{major}.{minor + 1}.0",
        "patch": f"{major}.{minor}.{patch + 1}",
    }[bump]


def _check_follows(version: str, base: str) -> None:
    parts = version.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ConfigError(f"--version: found {version!r}, expected three numbers such as '1.1.0'")
    if tuple(map(int, parts)) <= tuple(map(int, base.split("."))):
        raise ConfigError(
            f"--version: found {version!r}, expected a higher one than {base!r}, which is in force"
        )
