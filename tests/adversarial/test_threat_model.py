"""The threat model names what there is: each control's file, each test, each attacker and asset."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
CONTROLS = sorted(set(re.findall(r"`((?:assay|flows|evaluators)/[\w/]+\.py)`", PAGE)))


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_a_test_that_the_threat_model_names_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("file", CONTROLS)
def test_a_control_that_the_threat_model_names_exists(file: str) -> None:
    assert (ROOT / file).is_file()


def test_each_row_has_an_attacker_an_asset_a_control_and_a_test() -> None:
    table = rows("What stops them")
    assert len(table) >= 20
    for row in table:
        assert len(row) == 4, row
        assert all(row), row
        assert re.search(r"`(?:assay|flows)/[\w/]+\.py`", row[2]), row
        assert re.search(r"`tests/[\w/]+\.py::\w+`", row[3]), row


def test_no_attacker_is_without_a_control() -> None:
    stopped = {row[0] for row in rows("What stops them")}
    for row in rows("Who it is kept from"):
        name = re.sub(r"\*\*", "", row[0]).split(",")[0]
        assert any(name.startswith(one) for one in stopped), name
