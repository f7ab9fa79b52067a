"""`prefect deployment run gate-release` means `gate-release/gate-release`; nothing else changes."""

import sys
from importlib.metadata import entry_points

import pytest

from flows import bare_name
from flows.bare_name import completed


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["prefect", "deployment", "run", "gate-release"],
         ["prefect", "deployment", "run", "gate-release/gate-release"]),
        (["prefect", "deployment", "run", "gate-release", "--watch", "-p", "model=emotion"],
         ["prefect", "deployment", "run", "gate-release/gate-release", "--watch", "-p",
          "model=emotion"]),
        (["/usr/bin/prefect", "--profile", "team", "deployment", "run", "gate-release"],
         ["/usr/bin/prefect", "--profile", "team", "deployment", "run",
          "gate-release/gate-release"]),
    ],
)  # fmt: skip
def test_a_bare_name_is_completed(given: list[str], meant: list[str]) -> None:
    assert completed(given) == meant
    assert completed(meant) == meant


@pytest.mark.parametrize(
    "given",
    [
        ["prefect"],
        ["prefect", "deployment"],
        ["prefect", "deployment", "run"],
        ["prefect", "deployment", "run", "--help"],
        ["prefect", "deployment", "run", "--id", "a-b-c"],
        ["prefect", "deployment", "run", "flow/deployment"],
        ["prefect", "deployment", "run", ""],
        ["prefect", "deployment", "inspect", "gate-release"],
        ["prefect", "deploy", "-n", "gate-release"],
        ["prefect", "flow-run", "logs", "deployment"],
        ["python", "-m", "pytest", "deployment", "ran", "x"],
        ["deployment", "run", "x"],  # `deployment` is the program itself, not a command of Prefect
    ],
)
def test_everything_else_stays_as_it_is(given: list[str]) -> None:
    before = list(given)
    assert completed(given) == before
    assert given == before


def test_only_the_first_run_is_looked_at() -> None:
    given = ["prefect", "deployment", "run", "a/b", "-p", "x", "deployment", "run", "c"]
    assert completed(given) == given


def test_the_hook_changes_the_arguments_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["prefect", "deployment", "run", "gate-release"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert bare_name.setup_environment(ctx=None) is None
    assert sys.argv is arguments
    assert arguments[-1] == "gate-release/gate-release"


def test_prefect_finds_the_hook() -> None:
    found = {point.name: point.value for point in entry_points(group="prefect.plugins")}
    assert found["assay"] == "flows.bare_name"
