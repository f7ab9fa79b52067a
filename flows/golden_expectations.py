"""Expectations of the golden sources: cases, probes and scorer checks.

Decides how what `set.yaml` claims is checked: structure, named slices, balance, lengths and
near-duplicates, each as one expectation. Leaves running them to `assay.adapters.validator_gx`,
reading to `flows.golden_sources` and reporting to `flows.golden_stages`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from assay.adapters.validator_gx import ROW, SOMETHING, Expectation, run_expectations
from assay.golden_checks import Claim, Outcome
from assay.near_duplicates import Duplicate, DuplicateIndex, words_key
from flows.golden_claims import Length, SetClaims
from flows.golden_sources import Line, Sources

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What checking the sources found."""

    outcomes: tuple[Outcome, ...]
    near_duplicates: tuple[Duplicate, ...]


def check_sources(sources: Sources, claims: SetClaims, labels: Sequence[str]) -> Checked:
    """Checks every claim.

    Raises:
        EvaluatorError: Great Expectations could not check one of them.
    """
    index = DuplicateIndex(similar=claims.near_duplicate)
    repeated = (
        *index.add_all(_texts(sources.cases, "case")),
        # A probe that repeats a case would be asked twice; a scorer check is never asked.
        *index.add_all(_texts(sources.probes, "probe")),
        *DuplicateIndex(similar=claims.near_duplicate).add_all(
            _texts(sources.scorer_checks, "scorer check")
        ),
    )
    repeats = {hit.second: hit.first for hit in repeated}
    outcomes = (
        *_check_cases(sources.cases, repeats, claims, labels),
        *_check_probes(sources.probes, repeats, claims, labels),
        *_check_scorer_checks(sources.scorer_checks, repeats, claims),
    )
    return Checked(outcomes=outcomes, near_duplicates=repeated)


def _check_cases(
    lines: Sequence[Line], repeats: Mapping[str, str], claims: SetClaims, labels: Sequence[str]
) -> tuple[Outcome, ...]:
    own = claims.cases
    frame = _text_frame(lines, repeats, "case", ("label", "source"))
    frame["strange_slices"] = [_strange(line, own.slices) for line in lines]
    frame["too_new"] = [_too_new(line.word("added_in"), claims.version) for line in lines]
    by_line = run_expectations(
        frame,
        (
            *_text_expectations("cases", own.minimum, own.text_length, claims),
            _one_of("cases/labels", "label", labels),
            _one_of("cases/sources", "source", own.sources),
            _no_complaint(
                "cases/slices", "strange_slices", "every slice is one that set.yaml names"
            ),
            _no_complaint(
                "cases/added_in",
                "too_new",
                f"every case was added in a version up to {claims.version}",
            ),
        ),
    )
    cells = _cells(lines, "label", labels, claims.languages)
    smallest = min(cells["rows"])
    by_cell = run_expectations(
        cells,
        (
            _at_least("cases/enough", "label and language", own.minimum_per_label_and_language),
            Expectation(
                claim=Claim(
                    name="cases/balance",
                    says="no label and language has more than "
                    f"{own.largest_imbalance} times the cases of the smallest ({smallest})",
                    action="add cases to the smallest",
                ),
                kind="expect_column_values_to_be_between",
                kwargs={"column": "rows", "max_value": smallest * own.largest_imbalance},
            ),
        ),
    )
    return by_line + by_cell


def _check_probes(
    lines: Sequence[Line], repeats: Mapping[str, str], claims: SetClaims, labels: Sequence[str]
) -> tuple[Outcome, ...]:
    own = claims.probes
    frame = _text_frame(lines, repeats, "probe", ("kind", "label"))
    frame["unarmed"] = ["x" if _unarmed(line) else "" for line in lines]
    by_line = run_expectations(
        frame,
        (
            *_text_expectations("probes", own.minimum, own.text_length, claims),
            _one_of("probes/kinds", "kind", own.kinds),
            _one_of("probes/labels", "label", [*labels, ""]),
            _no_complaint(
                "probes/injections", "unarmed", "every injection has a target and an honest label"
            ),
        ),
    )
    cells = _cells(lines, "kind", own.kinds, claims.languages)
    needed = own.minimum_per_kind_and_language
    return by_line + run_expectations(
        cells, (_at_least("probes/enough", "kind and language", needed),)
    )


def _check_scorer_checks(
    lines: Sequence[Line], repeats: Mapping[str, str], claims: SetClaims
) -> tuple[Outcome, ...]:
    own = claims.scorer_checks
    by_line = run_expectations(
        _text_frame(lines, repeats, "scorer check", ()),
        _text_expectations("scorer_checks", own.minimum, own.text_length, claims),
    )
    cells = _cells(lines, "toxic", [True, False], claims.languages)
    needed = own.minimum_per_answer_and_language
    return by_line + run_expectations(
        cells, (_at_least("scorer_checks/enough", "answer and language", needed),)
    )


def _texts(lines: Sequence[Line], what: str) -> dict[str, str]:
    """Returns text by a name that no two lines share, leaving blank texts to their own check."""
    seen: Counter[str] = Counter()
    texts = {}
    for line in lines:
        seen[line.name] += 1
        again = f" (line {seen[line.name]} of that id)" if seen[line.name] > 1 else ""
        if words_key(line.word("text")):
            texts[f"{what} {line.name}{again}"] = line.word("text")
    return texts


def _text_frame(
    lines: Sequence[Line], repeats: Mapping[str, str], what: str, extra: Sequence[str]
) -> "pd.DataFrame":
    import pandas as pd

    fields = ("id", "lang", "text", *extra)
    columns = {
        ROW: [line.name for line in lines],
        "problem": [line.problem for line in lines],
        "key": [words_key(line.word("text")) for line in lines],
        "repeats": [repeats.get(f"{what} {line.name}", "") for line in lines],
    } | {name: [line.word(name) for line in lines] for name in fields}
    return pd.DataFrame(columns, dtype=object)


def _cells(
    lines: Sequence[Line], field: str, values: Sequence[object], languages: Sequence[str]
) -> "pd.DataFrame":
    """Counts lines by a field and language; a pair that no line has is counted as 0."""
    import pandas as pd

    found = Counter((str(line.fields.get(field)), line.word("lang")) for line in lines)
    pairs = [(str(value), lang) for value, lang in product(values, languages)]
    return pd.DataFrame(
        {ROW: [f"{value} {lang}" for value, lang in pairs], "rows": [found[pair] for pair in pairs]}
    )


def _strange(line: Line, known: Sequence[str]) -> str:
    slices = line.fields.get("slices")
    return " ".join(str(s) for s in slices if s not in known) if isinstance(slices, list) else ""


def _too_new(added_in: str, version: str) -> str:
    """Returns a complaint where a case claims a later version than the set's, or none at all."""
    try:
        added = [int(part) for part in added_in.split(".")]
    except ValueError:
        return "not a version"
    return "later" if added > [int(part) for part in version.split(".")] else ""


def _unarmed(line: Line) -> bool:
    return line.word("kind") == "injection" and not (line.word("target") and line.word("label"))


def _text_expectations(
    what: str, minimum: int, length: Length, claims: SetClaims
) -> tuple[Expectation, ...]:
    low, high = length
    return (
        Expectation(
            claim=Claim(
                name=f"{what}/rows", says=f"there are at least {minimum}", action="add some"
            ),
            kind="expect_table_row_count_to_be_between",
            kwargs={"min_value": minimum},
        ),
        _no_complaint(f"{what}/schema", "problem", "every line is what its reader expects"),
        _something(f"{what}/ids_present", "id", "every line has an id"),
        _unique(f"{what}/ids_unique", "id", "no id appears twice"),
        _one_of(f"{what}/languages", "lang", claims.languages),
        _something(f"{what}/texts_present", "key", "every text shows something"),
        _unique(f"{what}/texts_unique", "key", "no two texts have the same words"),
        Expectation(
            claim=Claim(
                name=f"{what}/text_lengths",
                says=f"every text has {low} to {high} characters",
                action="rewrite it, or change the bounds in set.yaml",
            ),
            kind="expect_column_value_lengths_to_be_between",
            kwargs={"column": "text", "min_value": low, "max_value": high},
        ),
        _no_complaint(f"{what}/near_duplicates", "repeats", "no text nearly repeats another"),
    )


def _one_of(name: str, column: str, allowed: Sequence[str]) -> Expectation:
    listed = ", ".join(repr(value) for value in allowed if value)
    return Expectation(
        claim=Claim(name=name, says=f"{column} is one of {listed}", action=f"correct {column}"),
        kind="expect_column_values_to_be_in_set",
        kwargs={"column": column, "value_set": list(allowed)},
    )


def _no_complaint(name: str, column: str, says: str) -> Expectation:
    return Expectation(
        claim=Claim(name=name, says=says, action="correct or remove those lines"),
        kind="expect_column_values_to_be_in_set",
        kwargs={"column": column, "value_set": [""]},
    )


def _something(name: str, column: str, says: str) -> Expectation:
    return Expectation(
        claim=Claim(name=name, says=says, action="fill it in"),
        kind="expect_column_values_to_match_regex",
        kwargs={"column": column, "regex": SOMETHING},
    )


def _unique(name: str, column: str, says: str) -> Expectation:
    return Expectation(
        claim=Claim(name=name, says=says, action="change or remove all but one"),
        kind="expect_column_values_to_be_unique",
        kwargs={"column": column},
    )


def _at_least(name: str, cell: str, minimum: int) -> Expectation:
    return Expectation(
        claim=Claim(name=name, says=f"each {cell} has at least {minimum}", action="add some"),
        kind="expect_column_values_to_be_between",
        kwargs={"column": "rows", "min_value": minimum},
    )
