"""Writes a proposed golden set into a throwaway working tree, as a new version of the set there.

Decides where each case goes: to the source file that holds its id, or to one of its own where the
set is built by stages; into the golden file itself where it is not. Leaves the checks of a staged
set to its own stages, which run here, and what is official to `golden_repository`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from assay import digests
from assay.adapters.golden_commands import Dvc
from assay.documents import parse_jsonl, read_text
from assay.errors import ConfigError
from assay.golden_diff import GoldenDiff, lines
from assay.golden_frozen import (
    DIGEST_FILE,
    GOLDEN_FILE,
    FrozenFile,
    FrozenGolden,
    canonical,
    to_jsonl,
)
from assay.golden_set import GoldenRow, GoldenSet, full_row
from assay.records import GoldenCase

CHANGELOG_FILE = "CHANGELOG.md"
_NEW_CASES = "published.jsonl"
_CLAIMS_FILE = "set.yaml"
_HEADING = "# Versions of the golden set\n"
_VERSION_LINE = re.compile(r"^version:[^#\n]*", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A version as it lies in a working tree; `data` are the paths that DVC holds."""

    frozen: FrozenGolden
    data: tuple[str, ...]
    beside: Mapping[str, str]


def build(
    tree: Path,
    folder: str,
    *,
    golden: GoldenSet,
    base: FrozenGolden,
    version: str,
    beside: Mapping[str, bytes],
    staged: bool,
) -> Built:
    """Writes the version and puts its data into DVC's cache.

    Args:
        tree: the throwaway working tree, at the base version's commit.
        folder: the golden folder in it.
        golden: the proposed set.
        base: what Git says about the base version.
        version: the new version.
        beside: further files of the version, which DVC holds too.
        staged: whether the set is built by stages.

    Raises:
        ConfigError: the stages do not make this set of these sources.
        InfrastructureError: a stage or DVC failed.
    """
    place, dvc = tree / folder, Dvc(tree)
    frozen = FrozenGolden(version=version, golden=_described(golden), probes=base.probes)
    for name, data in beside.items():
        (place / name).write_bytes(data)
    added = [f"{folder}/{name}" for name in beside]
    if staged:
        write_sources(place / "cases", golden.cases)
        _raise_version(place / _CLAIMS_FILE, version)
        dvc("repro", "--quiet")
        _check_frozen(place / DIGEST_FILE, frozen)
    else:
        (place / GOLDEN_FILE).write_bytes(to_jsonl(golden.cases))
        (place / DIGEST_FILE).write_bytes(frozen.to_bytes())
        added.insert(0, f"{folder}/{GOLDEN_FILE}")
    if added:
        dvc("add", "--quiet", *added)
    return Built(
        frozen=frozen,
        data=tuple(dict.fromkeys([f"{folder}/{GOLDEN_FILE}", *added])),
        beside={name: digests.of_bytes(data) for name, data in sorted(beside.items())},
    )


def write_sources(folder: Path, cases: Sequence[GoldenCase]) -> None:
    """Brings the source files of a staged set to the given cases.

    A line whose case is unchanged stays as it is, byte for byte, so that a version's diff shows
    what changed and nothing else. New cases go to a file of their own.
    """
    wanted = {case.id: case for case in cases}
    for file in sorted(folder.glob("*.jsonl")):
        text = read_text(file)
        raw = text.removeprefix("\ufeff").split("\n")
        kept = []
        for number, row in parse_jsonl(text, str(file), GoldenRow):
            case = wanted.pop(row.id, None)
            if case is not None:
                (before,) = canonical([row.to_case()])
                kept.append(raw[number - 1].rstrip("\r") if before == case else _line(case))
        file.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    if wanted:
        with (folder / _NEW_CASES).open("a", encoding="utf-8") as stream:
            stream.writelines(f"{_line(case)}\n" for case in wanted.values())


def write_changelog(place: Path, built: Built, change: GoldenDiff, why: str, at: datetime) -> None:
    """Adds the version to the set's changelog, latest first, by ids and without any text."""
    path = place / CHANGELOG_FILE
    known = read_text(path) if path.exists() else _HEADING
    classes = ", ".join(
        f"{one.label} {one.before} → {one.after}"
        for one in change.classes
        if one.before != one.after
    )
    counted = [f"Cases by class: {classes}."] if classes else []
    entry = [
        f"## {built.frozen.version} ({at:%Y-%m-%d})",
        "",
        why,
        "",
        *(f"- {line}" for line in [*lines(change), *counted]),
        f"- {built.frozen.golden.rows} cases, `{built.frozen.golden.digest}`",
        "",
    ]
    heading, _, rest = known.partition("\n")
    path.write_text(f"{heading}\n\n" + "\n".join(entry) + rest, encoding="utf-8")


def _described(golden: GoldenSet) -> FrozenFile:
    data = to_jsonl(golden.cases)
    sha256 = digests.of_bytes(data).removeprefix("sha256:")
    return FrozenFile(sha256=sha256, digest=golden.digest, rows=golden.size)


def _line(case: GoldenCase) -> str:
    return json.dumps(full_row(case), ensure_ascii=False)


def _raise_version(path: Path, version: str) -> None:
    text, count = _VERSION_LINE.subn(f"version: {version}", read_text(path), count=1)
    if not count:
        raise ConfigError(
            f"{path}: has no line that begins with 'version:'; expected one, which names the "
            "version of the set; add it"
        )
    path.write_text(text, encoding="utf-8")


def _check_frozen(path: Path, expected: FrozenGolden) -> None:
    found = FrozenGolden.model_validate_json(read_text(path))
    if found.golden != expected.golden or found.version != expected.version:
        raise ConfigError(
            f"{path.name}: the stages made version {found.version!r} with {found.golden.digest!r}; "
            f"expected {expected.version!r} with {expected.golden.digest!r}, as proposed; see that "
            "the stage `freeze` of dvc.yaml reads cases/*.jsonl and nothing else"
        )
