"""The source files of a golden folder, line by line, before anything is known about them.

Decides how a line that is wrong is still named; leaves saying what is wrong with it to
`flows.golden_expectations`. Every line is read leniently, so that one report can name all the lines
that are wrong; only bytes that are not UTF-8 or not JSON stop the reading.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.documents import Document, parse_json, read_text, validate
from assay.errors import ConfigError
from assay.golden_set import GoldenRow, ProbeRow
from evaluators.scorers import ScorerCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a source file, before anything is known about it.

    Attributes:
        name: its id, or its file and line where it has none.
        fields: the values it holds.
        problem: why it is not what its reader expects; empty where it is.
    """

    name: str
    fields: Mapping[str, Any]
    problem: str

    def word(self, field: str) -> str:
        """Returns a field's text; empty, not null, where there is none, so no check skips it."""
        value = self.fields.get(field)
        return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The lines of every source file of a golden folder."""

    cases: tuple[Line, ...]
    probes: tuple[Line, ...]
    scorer_checks: tuple[Line, ...]


def read_sources(folder: Path) -> Sources:
    """Reads the sources of a golden folder.

    Raises:
        ConfigError: a file is missing or not UTF-8, or a line is not JSON.
    """
    return Sources(
        cases=_read(sorted((folder / "cases").glob("*.jsonl")), GoldenRow),
        probes=_read(sorted((folder / "probes").glob("*.jsonl")), ProbeRow),
        scorer_checks=_read([folder / "scorer_checks.jsonl"], ScorerCheck),
    )


def _read(files: Iterable[Path], model: type[Document]) -> tuple[Line, ...]:
    return tuple(line for file in files for line in _lines_of(file, model))


def _lines_of(file: Path, model: type[Document]) -> Iterable[Line]:
    for number, text in enumerate(read_text(file).split("\n"), start=1):
        if not text.strip():
            continue
        value = parse_json(text, f"{file}:{number}")
        fields = value if isinstance(value, dict) else {}
        identity = fields.get("id")
        place = f"{file.parent.name}/{file.name}:{number}"
        named = isinstance(identity, str) and bool(identity.strip())
        try:
            validate(value, model, place)
            problem = ""
        except ConfigError as error:
            problem = str(error)
        yield Line(name=str(identity) if named else place, fields=fields, problem=problem)
