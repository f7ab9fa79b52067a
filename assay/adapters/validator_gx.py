"""Checks golden sets with Great Expectations.

Decides how a claim becomes an expectation and how its result is read: an engine's error is an
`EvaluatorError`, never a failed claim; a claim about the rows of an empty frame is undecided. What
is claimed is left to `assay.golden_checks` and to a golden set's own stages.

Great Expectations takes seconds to import, so it is imported by the first check.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assay import golden_checks
from assay.errors import EvaluatorError
from assay.golden_checks import Claim, Outcome
from assay.golden_set import GoldenSet
from assay.near_duplicates import same_text_key
from assay.records import Finding, FindingStatus, GoldenCase

if TYPE_CHECKING:
    import pandas as pd

ROW = "row"
"""Column of every checked frame that names the row in a report (an id, never a text)."""

SOMETHING = r"\S"
"""Matches a text that is more than white space, which `not_be_null` lets pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """A claim, and how Great Expectations checks it.

    Attributes:
        claim: what is expected.
        kind: Great Expectations' own name of it (`expect_column_values_to_be_unique`).
        kwargs: its arguments.
    """

    claim: Claim
    kind: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def about_the_table(self) -> bool:
        """Whether it is about the frame as a whole, so that an empty one can be judged."""
        return self.kind.startswith("expect_table_")


class GxValidator:
    """`GoldenValidator` on Great Expectations: the structural claims, as gating findings."""

    def check(self, golden: GoldenSet, labels: Sequence[str]) -> Sequence[Finding]:
        """Returns one finding an expectation, in a fixed order.

        Where a case's text is known only by its digest (evidence), the digest stands for it.

        Raises:
            EvaluatorError: Great Expectations could not check, so nothing is known.
        """
        outcomes = run_expectations(_frame(golden.cases), _structural(labels))
        return tuple(golden_checks.finding(outcome) for outcome in outcomes)


def run_expectations(
    frame: "pd.DataFrame", expectations: Sequence[Expectation]
) -> tuple[Outcome, ...]:
    """Checks a frame that has a column `ROW`.

    Args:
        frame: one row a case; cells that value checks look at must not be null, which they skip.
        expectations: each with a claim of its own name.

    Returns:
        One outcome an expectation, in their order.

    Raises:
        EvaluatorError: Great Expectations could not check one of them.
    """
    results = {
        result.expectation_config.meta["claim"]: result for result in _validate(frame, expectations)
    }
    return tuple(
        _outcome(expectation, len(frame), results.get(expectation.claim.name))
        for expectation in expectations
    )


def _validate(frame: "pd.DataFrame", expectations: Sequence[Expectation]) -> Sequence[Any]:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("golden").add_dataframe_asset("frame")
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(
        name="golden",
        expectations=[
            ExpectationConfiguration(
                type=expectation.kind,
                kwargs=dict(expectation.kwargs),
                meta={"claim": expectation.claim.name},
            ).to_domain_obj()
            for expectation in expectations
        ],
    )
    validated = batch.validate(
        suite,
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": [ROW],
            "return_unexpected_index_query": False,
        },
    )
    results: Sequence[Any] = validated.results
    return results


def _outcome(expectation: Expectation, rows: int, result: Any) -> Outcome:
    claim = expectation.claim
    if result is None:
        raise EvaluatorError(f"{claim.name}: Great Expectations returned no result for it")
    if error := _engine_error(result.exception_info):
        raise EvaluatorError(
            f"{claim.name}: Great Expectations could not check {expectation.kind} ({error}); "
            "nothing is known about this claim; report it with the versions in use"
        )
    if rows == 0 and not expectation.about_the_table:
        return golden_checks.decide(claim, 0, ())
    listed = result.result.get("unexpected_index_list") or ()
    failed = tuple(dict.fromkeys(str(entry[ROW]) for entry in listed))
    status = FindingStatus.PASSED if result.success else FindingStatus.FAILED
    return Outcome(claim=claim, rows=rows, status=status, failed=failed)


def _engine_error(info: Mapping[str, Any]) -> str | None:
    """Returns the exceptions' types; their messages could quote a case's text."""
    single = "raised_exception" in info
    entries = [info] if single else [entry for entry in info.values() if entry]
    traces = [entry["exception_traceback"] for entry in entries if entry["raised_exception"]]
    if not traces:
        return None
    last_lines = (str(trace or "unknown").strip().splitlines()[-1] for trace in traces)
    return ", ".join(sorted({line.partition(":")[0] for line in last_lines}))


def _frame(cases: Sequence[GoldenCase]) -> "pd.DataFrame":
    import pandas as pd

    ids = [case.id for case in cases]
    keys = [case.text_sha256 if case.text is None else same_text_key(case.text) for case in cases]
    columns = {
        ROW: ids,
        "id": ids,
        "label": [case.label for case in cases],
        "lang": [case.lang for case in cases],
        "key": keys,
    }
    return pd.DataFrame(columns, dtype=object)


def _structural(labels: Sequence[str]) -> tuple[Expectation, ...]:
    how: dict[str, tuple[str, dict[str, Any]]] = {
        "ids_present": ("expect_column_values_to_match_regex", {"column": "id"}),
        "ids_unique": ("expect_column_values_to_be_unique", {"column": "id"}),
        "labels": (
            "expect_column_values_to_be_in_set",
            {"column": "label", "value_set": list(labels)},
        ),
        "languages": ("expect_column_values_to_match_regex", {"column": "lang"}),
        "texts_present": ("expect_column_values_to_match_regex", {"column": "key"}),
        "texts_unique": ("expect_column_values_to_be_unique", {"column": "key"}),
    }
    rows = Expectation(
        claim=golden_checks.ROWS,
        kind="expect_table_row_count_to_be_between",
        kwargs={"min_value": 1},
    )
    by_row = []
    for claim in golden_checks.STRUCTURE:
        kind, kwargs = how[claim.name]
        pattern = {"regex": SOMETHING} if kind.endswith("match_regex") else {}
        by_row.append(Expectation(claim=claim, kind=kind, kwargs=kwargs | pattern))
    return (rows, *by_row)
