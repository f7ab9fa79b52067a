"""A Git repository whose golden set lies in DVC: how a new version of the set gets into it.

Decides where a version is built, what makes it official and in what order; leaves what a version
holds to the caller. Nothing is built in the user's working tree: a version grows in a throwaway
worktree that shares DVC's cache, its data goes to the remote and is read back from there, and only
then a tag names its commit. Before the tag the old version is in force, after it the new one; what
a killed publisher leaves is a worktree, a branch without a tag, and objects that nothing names.

A set is either the output of stages (`dvc.yaml` names it, and its sources lie in `cases/`), or a
file under `dvc add`.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from assay.adapters.golden_commands import Dvc, Git
from assay.documents import parse_json, validate
from assay.errors import ConfigError, InfrastructureError
from assay.golden_frozen import DIGEST_FILE, GOLDEN_FILE, FrozenGolden

TRAILER = "Golden-Proposal"
_PLACE = "assay-golden"


def tag_name(version: str) -> str:
    """Returns the tag of a golden version."""
    return f"golden-v{version}"


def branch_name(version: str) -> str:
    """Returns the branch on which a golden version is committed."""
    return f"golden/v{version}"


@dataclass(frozen=True, slots=True)
class GoldenRepository:
    """One repository.

    Args:
        root: the repository's root, which holds `.git` and `.dvc`.
        folder: the golden folder, relative to `root`.
    """

    root: Path
    folder: str = "golden_data"
    git: Git = field(init=False)
    dvc: Dvc = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "git", Git(self.root))
        object.__setattr__(self, "dvc", Dvc(self.root))

    # --- looking --------------------------------------------------------------------------------

    def check(self) -> None:
        """Refuses a repository in which nothing can be published.

        Raises:
            ConfigError: not the root of a Git repository with DVC, uncommitted changes, or no
                remote to push to.
        """
        top = self.git.ask("rev-parse", "--show-toplevel")
        if top is None or Path(top).resolve() != self.root.resolve():
            raise ConfigError(
                f"{self.root}: not the root of a Git repository, found {top!r}; a golden version "
                "is a commit; run from the root"
            )
        if not (self.root / ".dvc").is_dir():
            raise ConfigError(f"{self.root}: holds no .dvc; expected DVC; run `dvc init`")
        changed = self.git("status", "--porcelain", "--untracked-files=no")
        if changed:
            names = ", ".join(line[2:].strip() for line in changed.splitlines()[:5])
            raise ConfigError(
                f"{self.root}: uncommitted changes ({names}); expected a clean tree, because the "
                "version is a commit on top of HEAD; commit or set them aside"
            )
        self._check_remote()

    def _check_remote(self) -> None:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        try:
            config = Repo(str(self.root)).config
        except DvcException as error:
            raise ConfigError(f"{self.root}: DVC refuses it ({error}); mend .dvc/config") from None
        name, known = config["core"].get("remote"), config["remote"]
        if not name or name not in known:
            raise ConfigError(
                f"{self.root / '.dvc' / 'config'}: no default DVC remote, found {name!r}; expected "
                f"one of {sorted(known)!r} or a new one: without it the data would exist on this "
                "machine only; run `dvc remote add --default NAME URL`"
            )

    def head(self) -> str:
        """Returns HEAD's commit."""
        return self.git("rev-parse", "--verify", "HEAD^{commit}")

    def commit_of(self, name: str) -> str | None:
        """Returns the commit that a tag or branch names, or None where there is none."""
        return self.git.ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")

    def frozen(self, revision: str = "HEAD") -> FrozenGolden:
        """Returns what Git says about the golden set at a revision.

        Raises:
            ConfigError: there is none.
        """
        where = f"{self.folder}/{DIGEST_FILE}@{revision}"
        text = self.git.ask("show", f"{revision}:{self.folder}/{DIGEST_FILE}")
        if text is None:
            raise ConfigError(
                f"{where}: no such file; expected a golden set that is frozen and committed; "
                "freeze the first version as golden_data/README.md says"
            )
        return validate(parse_json(text, where), FrozenGolden, where)

    def proposal_of(self, commit: str) -> str | None:
        """Returns which proposal a commit published; None for a commit that published none."""
        wanted = f"--format=%(trailers:key={TRAILER},valueonly)"
        return (self.git.ask("log", "-1", wanted, commit) or "").strip() or None

    def is_staged(self) -> bool:
        """Whether the set is the output of stages.

        Raises:
            ConfigError: it is neither that nor under `dvc add`.
        """
        stages = self.git.ask("show", "HEAD:dvc.yaml")
        if stages is not None and f"{self.folder}/{GOLDEN_FILE}" in stages:
            return True
        if self.git.ask("cat-file", "-e", f"HEAD:{self.folder}/{GOLDEN_FILE}.dvc") is None:
            raise ConfigError(
                f"{self.folder}/{GOLDEN_FILE}: not in DVC at HEAD; expected it in dvc.yaml or "
                f"under `dvc add {self.folder}/{GOLDEN_FILE}`; do that and commit it"
            )
        return False

    def check_data(self, allowed: Sequence[FrozenGolden]) -> None:
        """Refuses to replace a golden file that somebody has edited in place.

        Raises:
            ConfigError: the file is there and is none of the `allowed`.
        """
        path = self.root / self.folder / GOLDEN_FILE
        if not path.is_file():
            return
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found not in {one.golden.sha256 for one in allowed}:
            raise ConfigError(
                f"{path}: its SHA-256 is {found!r}; expected {allowed[0].golden.sha256!r}, as Git "
                "says: it was edited and would be lost; move it away, then `dvc checkout` it"
            )

    # --- building -------------------------------------------------------------------------------

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other publishers of this repository out, and removes what dead ones left.

        Raises:
            ConfigError: another one is at work.
        """
        place = self._place()
        place.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(place / "lock", timeout=0, thread_local=False):
                for left in place.glob("build-*"):
                    shutil.rmtree(left, ignore_errors=True)
                self.git("worktree", "prune")
                yield
        except Timeout:
            raise ConfigError(
                f"{self.root}: another process is publishing a golden version; wait for it"
            ) from None

    @contextmanager
    def worktree(self, commit: str) -> Iterator[Path]:
        """Gives a throwaway working tree at a commit, with this repository's DVC cache."""
        build = Path(tempfile.mkdtemp(prefix="build-", dir=self._place())) / "tree"
        try:
            self.git("worktree", "add", "--quiet", "--detach", str(build), commit)
            self._share_dvc(build)
            yield build
        finally:
            shutil.rmtree(build.parent, ignore_errors=True)
            self.git("worktree", "prune")

    def _place(self) -> Path:
        common = self.git("rev-parse", "--git-common-dir")
        return (self.root / common).resolve() / _PLACE

    def _share_dvc(self, build: Path) -> None:
        """Gives the tree this repository's cache, remotes and secrets, by absolute paths."""
        from dvc.repo import Repo

        repo = Repo(str(self.root))
        own = self.root / ".dvc" / "config.local"
        if own.exists():
            shutil.copy(own, build / ".dvc" / "config.local")
        with Repo(str(build)).config.edit("local") as config:
            config["cache"]["dir"] = str(Path(repo.cache.local.path).parents[1])
            for name, remote in repo.config["remote"].items():
                config["remote"].setdefault(name, {})["url"] = str(remote["url"])

    def push(self, build: Path, paths: Sequence[str]) -> None:
        """Sends data to the default remote.

        Raises:
            InfrastructureError: the remote cannot be reached or written.
        """
        Dvc(build)("push", "--quiet", *paths)

    def read_back(self, build: Path, path: str, expected_sha256: str) -> None:
        """Reads a file from the remote itself and holds it against its SHA-256.

        DVC compares what it returns with nothing, and would take it from the local cache.

        Raises:
            InfrastructureError: the remote does not hold it, or holds something else.
        """
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        try:
            repo = Repo(str(build))
            (found,) = repo.find_outs_by_path(str(build / path))
            odb = repo.cloud.get_remote_odb()
            data = odb.fs.cat_file(odb.oid_to_path(found.hash_info.value))
        except (DvcException, OSError, ValueError) as error:
            raise InfrastructureError(
                f"{path}: pushed, but the remote does not return it ({type(error).__name__}: "
                f"{error}); the old version is still in force; run the same command again"
            ) from error
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 != expected_sha256:
            raise InfrastructureError(
                f"{path}: the remote returns SHA-256 {sha256!r}; expected {expected_sha256!r}; "
                "remove the damaged object there, then run the same command again"
            )

    def commit(self, build: Path, message: str) -> str:
        """Commits everything in a throwaway tree; returns the commit, which nothing names yet."""
        there = Git(build)
        there("add", "--all")
        there("commit", "--quiet", "--no-verify", "-m", message)
        return there("rev-parse", "HEAD")

    # --- making it official ---------------------------------------------------------------------

    def release(self, commit: str, version: str, message: str) -> None:
        """Names a commit by its branch and then by its tag: from here on it is in force."""
        self.git("branch", "--force", branch_name(version), commit)
        self.git("tag", "--annotate", "-m", message, tag_name(version), commit)

    def check_out(self, commit: str, paths: Sequence[str]) -> None:
        """Brings the working tree to a version: Git's part by fast forward, then the data.

        Raises:
            ConfigError: HEAD has gone another way since.
        """
        if self.git.ask("merge-base", "--is-ancestor", commit, "HEAD") is None:
            if self.git.ask("merge-base", "--is-ancestor", "HEAD", commit) is None:
                raise ConfigError(
                    f"{self.root}: HEAD has gone another way than {commit[:12]}, which is "
                    "published and tagged; merge it yourself, then run `dvc checkout`"
                )
            self.git("merge", "--ff-only", "--quiet", commit)
        self.dvc("checkout", "--quiet", "--force", *paths)
