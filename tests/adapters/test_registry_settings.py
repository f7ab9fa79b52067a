"""Engine settings beside the alias: in memory and on MLflow, the same rules."""

from pathlib import Path

import pytest

from assay.records import PromotionOutcome, SettingsMove
from tests import registry_rig as rig
from tests.registry_rig import MODEL, Stage, gate, ref


@pytest.fixture(params=["in_memory", "sqlite"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    if request.param == "in_memory":
        return rig.in_memory(tmp_path)
    return rig.in_sqlite(tmp_path / "data", request.getfixturevalue("empty_database"))


def promoted(stage: Stage, folder: Path, run: str, **settings: str) -> PromotionOutcome:
    """Records a gate of 1.0.0 and promotes it with settings."""
    held = stage.registry.production(MODEL)
    against = None if held is None else ref("1.0.0")
    home = folder / run
    home.mkdir()
    recorded = stage.registry.record(gate(home, "1.0.0", against=against, run_id=run))
    return stage.registry.promote(
        ref("1.0.0"),
        expected=against,
        gate_run=recorded,
        settings=SettingsMove(**settings),  # type: ignore[arg-type]
        warrant=rig.warrant(home, ref("1.0.0")),
    )


def settings(stage: Stage) -> str | None:
    held = stage.registry.production(MODEL)
    assert held is not None
    return held.settings


def test_a_promotion_remembers_the_settings_it_was_judged_with(
    stage: Stage, tmp_path: Path
) -> None:
    assert promoted(stage, tmp_path, "first", to="A").moved
    assert settings(stage) == "A"


def test_settings_move_while_the_alias_stays(stage: Stage, tmp_path: Path) -> None:
    promoted(stage, tmp_path, "first", to="A")
    outcome = promoted(stage, tmp_path, "second", to="B", expected="A")
    assert outcome.moved
    assert "stays 1.0.0" in outcome.reason
    assert settings(stage) == "B"


def test_settings_judged_against_others_than_productions_do_not_move(
    stage: Stage, tmp_path: Path
) -> None:
    promoted(stage, tmp_path, "first", to="A")
    outcome = promoted(stage, tmp_path, "second", to="C", expected="B")
    assert not outcome.moved
    assert settings(stage) == "A"
