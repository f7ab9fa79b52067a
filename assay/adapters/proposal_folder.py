"""Writes a proposal: a folder that appears whole, or not at all.

Decides how bytes reach the disk: into a folder beside the target, each file flushed, then one
rename. A proposal that was there before is set aside first and removed last; anything else in the
way is left alone and named.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from assay.errors import ConfigError
from assay.relabelling.proposal import SUMMARY_FILE, Summary, names_of_outputs


def write_proposal(
    target: Path,
    files: Mapping[str, Iterable[bytes]],
    summarise: Callable[[Mapping[str, str]], Summary],
) -> Summary:
    """Writes a proposal, and returns its summary.

    Args:
        target: the folder; one that holds another proposal is replaced.
        files: the lines of each file, by name.
        summarise: makes the summary from the files' digests.

    Raises:
        ConfigError: the target is something else than a proposal.
    """
    check_target(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        written = {name: _write(stage / name, lines) for name, lines in files.items()}
        summary = summarise(written)
        _write(stage / SUMMARY_FILE, [summary.to_bytes()])
        _sync(stage)
        os.chmod(stage, 0o755)  # noqa: S103 - mkdtemp's 0700 would keep the publisher out
        _replace(target, stage)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    _sync(target.parent)
    return summary


def check_target(target: Path) -> None:
    """Refuses a target that is something else than a proposal.

    Raises:
        ConfigError: names what is in the way.
    """
    if not target.exists():
        return
    strange = (
        sorted(p.name for p in target.iterdir() if p.name not in names_of_outputs())
        if target.is_dir()
        else [target.name]
    )
    if strange:
        raise ConfigError(
            f"{target}: holds {strange[0]!r}, expected nothing or an earlier proposal; name "
            "another folder with --out"
        )


def _write(path: Path, lines: Iterable[bytes]) -> str:
    sha256 = hashlib.sha256()
    with path.open("wb", buffering=1 << 20) as stream:
        for line in lines:
            stream.write(line)
            sha256.update(line)
        stream.flush()
        os.fsync(stream.fileno())
    return f"sha256:{sha256.hexdigest()}"


def _replace(target: Path, stage: Path) -> None:
    if not target.exists():
        stage.rename(target)
        return
    aside = stage.with_name(f"{stage.name}-before")
    target.rename(aside)
    try:
        stage.rename(target)
    except OSError:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
