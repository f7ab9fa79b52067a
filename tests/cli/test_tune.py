"""`assay tune` with requests that cannot be done: exit 2, the file, the fault and the remedy."""

import pytest

from tests.cli.conftest import Assay
from tests.cli_desk import SERVING, Desk

SPACE = """\
schema_version: 1
profiles:
  cpu:
    arguments:
      --max-num-seqs: {values: [8, 16]}
"""


@pytest.fixture
def tuned(project: Desk) -> Desk:
    """A project with a space."""
    project.write("serving.yaml", SERVING)
    project.write("tune.yaml", SPACE)
    return project


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ("", "tune.yaml: holds nothing"),
        ("schema_version: 1\nprofiles: {}\n", "tune.yaml: profiles"),
        ("schema_version: 1\nprofiles: {cpu: {}}\n", "an empty space"),
        (SPACE.replace("[8, 16]", "[8]"), "an empty space"),
        (SPACE.replace("--max", "max"), "is no engine argument"),
        (SPACE.replace("--max-num-seqs", "--api-key"), "Assay sets or forbids it"),
        (SPACE.replace("cpu", "gpu"), "no space for the profile 'cpu'"),
        (SPACE + "trials: 0\n", "trials: Input should be greater than or equal to 2, found 0"),
        (SPACE + "load: quick\n", "'quick' has no search"),
        (SPACE + "load: fast\n", "no load profile 'fast'"),
        (SPACE + "budget: 3\n", "budget: Extra inputs"),
    ],
)
def test_a_space_that_is_wrong_is_said_before_anything_is_started(
    assay: Assay, tuned: Desk, space: str, words: str
) -> None:
    tuned.write("tune.yaml", space)
    outcome = assay("tune", "emotion", "1.0.0", "--json")
    assert outcome.code == 2
    assert words in outcome.error


def test_a_missing_space_is_named(assay: Assay, project: Desk) -> None:
    project.write("serving.yaml", SERVING)
    outcome = assay("tune", "emotion", "1.0.0", "--json")
    assert outcome.code == 2
    assert "tune.yaml" in outcome.error


@pytest.mark.parametrize("trials", ["0", "1", "-4"])
def test_a_budget_that_compares_nothing_is_refused(assay: Assay, tuned: Desk, trials: str) -> None:
    outcome = assay("tune", "emotion", "1.0.0", "--trials", trials, "--json")
    assert outcome.code == 2
    assert f"--trials {trials}: expected 2 at least" in outcome.error


def test_settings_that_contradict_themselves_are_not_guessed_at(assay: Assay, tuned: Desk) -> None:
    twice = SERVING.replace(
        "limits:", 'arguments: [--max-num-seqs, "4", --max-num-seqs=8], limits:'
    )
    tuned.write("serving.yaml", twice)
    outcome = assay("tune", "emotion", "1.0.0", "--json")
    assert outcome.code == 2
    assert "--max-num-seqs is given 2 times" in outcome.error


def test_a_model_name_that_no_store_has_is_refused(assay: Assay, tuned: Desk) -> None:
    assert assay("tune", "../etc", "--json").code == 2


def test_production_serving_with_an_endpoint_is_refused(assay: Assay, tuned: Desk) -> None:
    outcome = assay(
        *("gate", "emotion", "1.0.0", "--backend", "endpoint", "--json"),
        *("--candidate-url", "http://127.0.0.1:9", "--production-serving", "serving.yaml"),
    )
    assert outcome.code == 2
    assert "no engine is started" in outcome.error
