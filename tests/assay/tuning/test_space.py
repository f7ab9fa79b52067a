from pathlib import Path

import pytest
import yaml

from assay.errors import ConfigError
from assay.tuning.space import Choice, Range, holds, load_plan

ROOT = Path(__file__).parents[3]
GOOD = {
    "schema_version": 1,
    "profiles": {"cpu": {"arguments": {"--max-num-seqs": {"values": [8, 16]}}}},
}


def written(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "tune.yaml"
    path.write_text(yaml.safe_dump(GOOD | changes))
    return path


def test_the_projects_own_space_is_one() -> None:
    plan = load_plan(ROOT / "tune.yaml")
    assert set(plan.profiles) == {"cpu", "gpu"}
    assert plan.space("gpu", where="tune.yaml").parameters


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({}, "empty space"),
        ({"arguments": {"--aa": {"values": [1]}}}, "empty space"),
        ({"arguments": {"--aa": {"values": []}}}, "at least 1 item"),
        ({"arguments": {"--aa": {"values": [1, "1"]}}}, "given twice"),
        ({"arguments": {"max-num-seqs": {"values": [1, 2]}}}, "no engine argument"),
        ({"arguments": {"--no-enforce-eager": {"values": [True, False]}}}, "without `no-`"),
        ({"arguments": {"--aa=1": {"values": [1, 2]}}}, "without a value"),
        ({"arguments": {"--model": {"values": ["x", "y"]}}}, "not allowed here"),
        ({"arguments": {"--trust-remote-code": {"values": [True, False]}}}, "not allowed here"),
        (
            {"arguments": {"--dtype": {"values": ["x", "--trust-remote-code"]}}},
            "begins with a dash",
        ),
        ({"environment": {"VLLM_API_KEY": {"values": ["1", "2"]}}}, "Assay sets it"),
        ({"environment": {"VLLM_SERVER_DEV_MODE": {"values": ["0", "1"]}}}, "not allowed here"),
        ({"arguments": {"--aa": {"low": 2, "high": 2}}}, "expected low < high"),
        ({"arguments": {"--aa": {"low": 0, "high": 2, "log": True}}}, "begins above 0"),
        ({"arguments": {"--aa": {"low": 1}}}, "high"),
        ({"environment": {"A B": {"values": ["1", "2"]}}}, "match"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(
    tmp_path: Path, profile: object, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        load_plan(written(tmp_path, profiles={"cpu": profile}))


@pytest.mark.parametrize("budget", [0, 1, -3])
def test_a_budget_that_compares_nothing_is_refused(tmp_path: Path, budget: int) -> None:
    with pytest.raises(ConfigError, match="trials"):
        load_plan(written(tmp_path, trials=budget))


def test_a_profile_without_a_space_is_named(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path))
    with pytest.raises(ConfigError, match=r"no space for the profile 'gpu'.*cpu"):
        plan.space("gpu", where="tune.yaml")


def test_the_budget_does_not_determine_the_study(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path))
    assert load_plan(written(tmp_path, trials=99, minutes=3)).digest == plan.digest
    assert load_plan(written(tmp_path, seed=1)).digest != plan.digest


def test_a_switch_holds_truth_values_and_no_numbers() -> None:
    switch = Choice(values=(True, False))
    assert holds(switch, value=True)
    assert not holds(switch, 1)
    assert not holds(Choice(values=(1, 2)), value=True)


def test_a_range_holds_its_steps_only() -> None:
    stepped = Range(low=0.7, high=0.95, step=0.05)
    assert holds(stepped, 0.85)
    assert not holds(stepped, 0.86)
    assert not holds(stepped, 1.0)
    assert holds(Range(low=1, high=4), 3)
    assert not holds(Range(low=1, high=4), 3.5)
    assert holds(Range(low=0.5, high=4), 3.21)
