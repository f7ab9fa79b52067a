"""Golden sets by revision: files, the working tree, and DVC at a Git revision.

Decides where the bytes come from and that they are the right ones: `golden.digest.json`, which
lies in Git, names the SHA-256 of the data, and DVC does not compare what its cache or its remote
returns with anything. The manifest beside the digest says who published it: whoever can write both
the data and its digest cannot sign that. Leaves what the bytes must hold to `assay.golden_set`, and
whether a manifest is believed to `assay.golden_manifest`.

    None            golden_data/golden.jsonl of the working tree, compared with the digest beside it
    existing file   that file, as it is
    anything else   a Git revision: the digest from Git, the data from DVC's cache or remote
"""

import hashlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay import digests
from assay.documents import parse_json, read_text, validate
from assay.errors import ArtifactError, ConfigError, InfrastructureError
from assay.golden_frozen import DIGEST_FILE, GOLDEN_FILE, PROBES_FILE, FrozenFile, FrozenGolden
from assay.golden_manifest import MANIFEST_FILE, GoldenPredicate, published, unpublished
from assay.golden_set import GoldenSet, load_golden, load_probes, parse_golden, parse_probes
from assay.golden_trust import GoldenTrust
from assay.records import Probe

_GIT_TIMEOUT_S = 60
_REBUILD = "run `dvc repro` to build it from the sources, or `dvc pull` to fetch it"


@dataclass(frozen=True, slots=True)
class DvcGoldenSource:
    """`GoldenSource` on a Git repository with DVC.

    Args:
        root: the repository's root, which holds `.dvc`.
        folder: the golden folder, relative to `root`.
        trust: whose manifests are believed. None where manifests are not looked at: by whoever
            publishes, who must be able to replace a version that nobody believes any more.
    """

    root: Path
    folder: str = "golden_data"
    trust: GoldenTrust | None = None

    def load(self, revision: str | None, labels: Sequence[str]) -> GoldenSet:
        """Returns the golden set at a revision (None: the working tree's).

        Raises:
            ConfigError: no such revision or file, not a golden set, not the bytes that the digest
                in Git names, or not what a trusted key published.
            InfrastructureError: the data is neither in the cache nor at the remote.
        """
        if revision is not None and Path(revision).is_file():
            self._check_file_may_judge(revision)
            return load_golden(Path(revision), labels, revision=revision)
        text, where = self._read(GOLDEN_FILE, revision)
        return parse_golden(text, where, labels, revision=where)

    def load_probes(self, revision: str | None) -> Sequence[Probe]:
        """Returns the probes at a revision.

        For the path of a golden file: the `probes.jsonl` beside it, or else the working tree's.

        Raises:
            ConfigError, InfrastructureError: as `load`.
        """
        if revision is not None and Path(revision).is_file():
            self._check_file_may_judge(revision)
            beside = Path(revision).with_name(PROBES_FILE)
            if beside.is_file():
                return load_probes(beside)
            revision = None
        text, where = self._read(PROBES_FILE, revision)
        return parse_probes(text, where)

    def manifest(self, revision: str | None) -> GoldenPredicate | None:
        """Returns what a trusted key stated about the set; None where nobody stated anything.

        In the working tree, the files that were published beside the set are compared, too, where
        they are checked out.

        Raises:
            ArtifactError: the manifest is not believed, or does not fit what lies beside it.
            ConfigError: no such revision.
        """
        if revision is not None and Path(revision).is_file():
            return None
        commit = None if revision is None else self._commit(revision)
        frozen = self._digest_here() if commit is None else self._digest_at(commit, str(revision))
        stated = self._published(commit, revision, frozen)
        if stated is not None and commit is None:
            self._check_beside(stated)
        return stated

    def _published(
        self, commit: str | None, revision: str | None, frozen: FrozenGolden
    ) -> GoldenPredicate | None:
        if self.trust is None:
            return None
        path = f"{self.folder}/{MANIFEST_FILE}"
        if commit is None:
            here = self.root / path
            envelope = _bytes_of(here) if here.exists() else None
            return published(envelope, frozen, self.trust, path)
        shown = self._git("show", f"{commit}:./{path}")
        envelope = None if shown is None else shown.encode()
        return published(envelope, frozen, self.trust, f"{path}@{revision}")

    def _check_beside(self, stated: GoldenPredicate) -> None:
        for name, expected in stated.files.items():
            path = self.root / self.folder / name
            if path.is_file() and (found := digests.of_file(path)) != expected:
                raise ArtifactError(
                    f"{self.folder}/{name}: its digest is {found!r}; expected {expected!r}, as "
                    f"{MANIFEST_FILE} says: it was changed after it was published; restore it with "
                    "`dvc checkout` [golden-manifest]"
                )

    def _check_file_may_judge(self, revision: str) -> None:
        if self.trust is not None and self.trust.required:
            raise ConfigError(str(unpublished(f"{revision}: a file of no published version")))

    def _read(self, name: str, revision: str | None) -> tuple[str, str]:
        """Returns the verified text of a frozen file and where it came from."""
        path = f"{self.folder}/{name}"
        commit = None
        if revision is None:
            data, frozen = self._working_tree(name), self._digest_here()
            where, mend = path, "run `dvc repro`, and commit what it changes"
        else:
            commit = self._commit(revision)
            frozen = self._digest_at(commit, revision)
            data, where = self._data_at(commit, revision, path), f"{path}@{revision}"
            mend = (
                "the cache or the remote was changed; remove the damaged object and run "
                "`dvc pull`, or `dvc repro` at that revision"
            )
        expected: FrozenFile = frozen.golden if name == GOLDEN_FILE else frozen.probes
        found = hashlib.sha256(data).hexdigest()
        if found != expected.sha256:
            raise ConfigError(
                f"{where}: not used: its SHA-256 is {found!r}; expected {expected.sha256!r}, "
                f"which {self.folder}/{DIGEST_FILE} names in Git; {mend}"
            )
        try:
            self._published(commit, revision, frozen)
        except (
            ArtifactError
        ) as error:  # which would reject a candidate that has nothing to do with it
            raise ConfigError(str(error)) from error
        return data.decode("utf-8"), where

    def _working_tree(self, name: str) -> bytes:
        path = self.root / self.folder / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise ConfigError(
                f"{path}: no such file; {_REBUILD}, or name another golden file"
            ) from None
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror}); {_REBUILD}") from None

    def _digest_here(self) -> FrozenGolden:
        path = self.root / self.folder / DIGEST_FILE
        return _parse_digest(read_text(path), str(path))

    def _digest_at(self, commit: str, revision: str) -> FrozenGolden:
        path = f"{self.folder}/{DIGEST_FILE}"
        shown = self._git("show", f"{commit}:./{path}")
        if shown is None:
            raise ConfigError(
                f"revision {revision!r}: holds no {path}; expected a revision with a frozen golden "
                "set; name another, or freeze one with `dvc repro` and commit it"
            )
        return _parse_digest(shown, f"{path}@{revision}")

    def _commit(self, revision: str) -> str:
        query = f"{revision}^{{commit}}"
        commit = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", query)
        if commit is None:
            raise ConfigError(
                f"golden revision {revision!r}: neither a file nor a Git revision of {self.root}; "
                "expected a path, a commit, a tag or a branch; see `git tag`, or fetch it"
            )
        return commit.strip()

    def _git(self, *arguments: str) -> str | None:
        """Returns what Git prints, or None when it refuses."""
        try:
            done = subprocess.run(  # noqa: S603 - a fixed program, no shell
                ["git", "-C", str(self.root), *arguments],  # noqa: S607 - the user's own git
                capture_output=True,
                timeout=_GIT_TIMEOUT_S,
                check=False,
            )
        except FileNotFoundError:
            raise ConfigError(
                "git: no such program; a golden set at a revision is read from Git; install git"
            ) from None
        except subprocess.TimeoutExpired:
            raise InfrastructureError(
                f"git {arguments[0]}: no answer in {_GIT_TIMEOUT_S} s; check the repository's disk"
            ) from None
        if done.returncode == 0:
            return done.stdout.decode("utf-8", errors="replace")
        if b"not a git repository" in done.stderr or b"dubious ownership" in done.stderr:
            message = done.stderr.decode("utf-8", errors="replace").strip().splitlines()[0]
            raise ConfigError(
                f"{self.root}: Git refuses it ({message}); a golden set at a revision is read from "
                "Git; run from the repository's root, or name a golden file"
            )
        return None

    def _data_at(self, commit: str, revision: str, path: str) -> bytes:
        from dvc.api import DVCFileSystem
        from dvc.exceptions import DvcException
        from dvc.scm import SCMError

        place = f"{path}@{revision}"
        try:
            data: bytes = DVCFileSystem(str(self.root), rev=commit).read_bytes(path)
        except FileNotFoundError as error:
            raise InfrastructureError(
                f"{place}: neither in DVC's cache nor at its remote ({type(error).__name__}); "
                f"run `dvc pull`, or check out {revision!r} and run `dvc repro`"
            ) from error
        except (DvcException, SCMError, OSError) as error:
            raise InfrastructureError(
                f"{place}: DVC could not read it ({type(error).__name__}: {error}); check "
                "`dvc remote list` and its credentials, then try again"
            ) from error
        return data


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); restore it from Git"
        ) from None


def _parse_digest(text: str, where: str) -> FrozenGolden:
    return validate(parse_json(text, where), FrozenGolden, where)
