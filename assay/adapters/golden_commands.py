"""Runs Git and DVC, and turns what they say into errors of ours.

Decides how the two programs are called (no shell, a limit on time, nothing sent anywhere but to the
remote) and what their failure means; what is done with them is `golden_repository`'s.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.errors import ConfigError, InfrastructureError

_GIT_TIMEOUT_S = 120
_DVC_TIMEOUT_S = 3600
_SAID = 1200


@dataclass(frozen=True, slots=True)
class Git:
    """Git in one working tree."""

    root: Path

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Returns what Git prints.

        Raises:
            ConfigError: Git refuses.
            InfrastructureError: no answer in time.
        """
        done = self._run(arguments, stdin)
        if done.returncode:
            raise ConfigError(
                f"{self.root}: `git {arguments[0]}` refused: {_said(done.stderr)}; mend what it "
                "names, then run the same command again"
            )
        return done.stdout.decode("utf-8", errors="replace").strip()

    def ask(self, *arguments: str) -> str | None:
        """Returns what Git prints, or None when it has no answer."""
        done = self._run(arguments, None)
        return None if done.returncode else done.stdout.decode("utf-8", errors="replace").strip()

    def _run(
        self, arguments: tuple[str, ...], stdin: str | None
    ) -> "subprocess.CompletedProcess[bytes]":
        return _run(["git", "-C", str(self.root), *arguments], self.root, {}, _GIT_TIMEOUT_S, stdin)


@dataclass(frozen=True, slots=True)
class Dvc:
    """DVC in one working tree, as this Python has it."""

    root: Path

    def __call__(self, *arguments: str) -> str:
        """Returns what DVC prints.

        Raises:
            ConfigError: a stage refuses its sources.
            InfrastructureError: anything else failed: a remote, a disk.
        """
        # The stages call `python`, which must be the one that holds their packages.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        changes = {"DVC_NO_ANALYTICS": "1", "PATH": path}
        command = [sys.executable, "-m", "dvc", *arguments]
        done = _run(command, self.root, changes, _DVC_TIMEOUT_S, None)
        if done.returncode:
            said = _said(done.stderr or done.stdout)
            kind = ConfigError if arguments[0] == "repro" else InfrastructureError
            raise kind(
                f"`dvc {arguments[0]}` failed: {said}; the version in force is still the old one; "
                "mend what it names, then run the same command again"
            )
        return done.stdout.decode("utf-8", errors="replace").strip()


def _run(
    command: list[str], folder: Path, changes: Mapping[str, str], limit_s: int, stdin: str | None
) -> "subprocess.CompletedProcess[bytes]":
    program = "dvc" if "dvc" in command else command[0]
    try:
        return subprocess.run(  # noqa: S603 - a fixed program, no shell
            command,
            cwd=folder,
            env=os.environ | dict(changes),
            input=(stdin or "").encode(),
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
    except FileNotFoundError:
        raise ConfigError(f"{program}: no such program; install {program}") from None
    except subprocess.TimeoutExpired:
        raise InfrastructureError(
            f"{program}: no answer in {limit_s} s; check the disk and the remote, then run the "
            "same command again"
        ) from None


def _said(output: bytes) -> str:
    """The lines in which a program says what is wrong, without its advertisements."""
    lines = [line.strip() for line in output.decode("utf-8", errors="replace").splitlines()]
    told = [line for line in lines if line and not line.startswith(("Having any troubles", "http"))]
    return " ".join(told)[-_SAID:] or "it said nothing"
