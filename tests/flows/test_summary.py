"""A gate's result as Markdown, for a pull request or Prefect's page."""

from pathlib import Path

import pytest

from assay.records import VerdictKind
from flows.summary import as_markdown, one_line
from tests.gate_rig import Rig, make_rig


@pytest.fixture
def released(tmp_path: Path) -> Rig:
    rig = make_rig(tmp_path)
    rig.gate("1.0.0")
    return rig


def test_a_block_says_why_and_what_to_do(released: Rig) -> None:
    result = released.gate("1.2.0")
    page = as_markdown(result)
    assert page.startswith("# block\n")
    assert result.verdict.summary in page
    assert "- Mend `fear`, `anger` and `emotion_f1/macro`, and publish" in page
    assert "| ✗ | `emotion_f1/fear` |" in page
    assert str(result.evidence_dir) in page
    assert one_line(result) == result.verdict.summary


def test_every_row_of_the_table_has_as_many_cells_as_its_head(released: Rig) -> None:
    lines = as_markdown(released.gate("1.2.0")).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) > 5
    assert {line.count("|") for line in table} == {8}


def test_a_promotion_says_what_became_of_the_alias_and_a_recorded_one_that_it_is(
    released: Rig,
) -> None:
    result = released.gate("1.1.0")
    assert result.verdict.verdict is VerdictKind.PROMOTE
    assert result.promotion is not None
    assert result.promotion.reason in one_line(result)
    again = released.gate("1.1.0")
    assert again.reused
    assert f"Recorded verdict of run `{result.verdict.context.run_id}`" in as_markdown(again)
