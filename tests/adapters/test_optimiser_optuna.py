"""The study on Optuna: what it remembers, what it does not repeat, what it learns from."""

from pathlib import Path

import pytest

from assay.adapters.optimiser_optuna import OptunaOptimiser
from assay.errors import AssayError
from assay.tuning.ports import Suggestion
from assay.tuning.space import Choice, Parameter, Range
from assay.tuning.trials import RampResult, TrialRecord, TrialState

SPACE: dict[str, Parameter] = {
    "--seqs": Choice(values=(4, 8, 16, 32)),
    "--eager": Choice(values=(True, False)),
    "--batch": Range(low=1, high=64, log=True),
}


def ended(suggestion: Suggestion, state: TrialState = TrialState.MEASURED) -> TrialRecord:
    goodput = float(suggestion.point["--seqs"]) + float(suggestion.point.get("--batch", 0)) / 64
    measured = state is TrialState.MEASURED
    return TrialRecord(
        number=suggestion.number,
        point=suggestion.point,
        state=state,
        result=RampResult(
            goodput_per_s=goodput,
            missed_per_s=None,
            ttft_p99_ms=100 / goodput,
            output_tokens_per_s=None,
        )
        if measured
        else None,
        excess=0.5 if state is TrialState.PRUNED else None,
        reason="" if measured else "why",
        log_tail="" if measured else "last\nwords",
        seconds=1.5,
    )


def study(folder: Path, seed: int = 0) -> OptunaOptimiser:
    return OptunaOptimiser(folder / "deep" / "study.journal", SPACE, seed)


def tried(optimiser: OptunaOptimiser, count: int) -> list[dict[str, object]]:
    points = []
    for _ in range(count):
        suggestion = optimiser.ask()
        assert suggestion is not None
        points.append(dict(suggestion.point))
        optimiser.tell(ended(suggestion))
    return points


def test_trial_zero_is_the_present_settings_even_where_the_space_has_them_not(
    tmp_path: Path,
) -> None:
    optimiser = study(tmp_path)
    begun = optimiser.begin({"--seqs": 5, "--eager": True})
    optimiser.tell(ended(begun))
    assert begun.number == 0
    assert dict(study(tmp_path).past()[0].point) == {"--seqs": 5, "--eager": True}


@pytest.mark.parametrize("state", list(TrialState)[:3])
def test_a_trial_is_read_back_as_it_was_told(tmp_path: Path, state: TrialState) -> None:
    optimiser = study(tmp_path)
    suggestion = optimiser.ask()
    assert suggestion is not None
    told = ended(suggestion, state)
    optimiser.tell(told)
    assert study(tmp_path).past() == (told,)


def test_what_a_dead_process_was_trying_is_killed_spent_and_not_tried_again(
    tmp_path: Path,
) -> None:
    dying = study(tmp_path)
    lost = dying.ask()
    assert lost is not None
    resumed = study(tmp_path)
    (killed,) = resumed.past()
    assert (killed.state, dict(killed.point)) == (TrialState.KILLED, dict(lost.point))
    assert dict(lost.point) not in tried(resumed, 12)


def test_no_point_is_tried_twice(tmp_path: Path) -> None:
    points = tried(study(tmp_path), 25)
    assert len({str(sorted(point.items())) for point in points}) == 25


def test_a_space_with_nothing_left_says_so(tmp_path: Path) -> None:
    optimiser = OptunaOptimiser(tmp_path / "j", {"--seqs": Choice(values=(1, 2, 3))}, 0)
    found = []
    while (suggestion := optimiser.ask()) is not None:
        found.append(suggestion.point["--seqs"])
        optimiser.tell(ended(suggestion))
    assert sorted(found) == [1, 2, 3]


def test_an_interrupted_study_goes_on_as_it_would_have(tmp_path: Path) -> None:
    whole = tried(study(tmp_path / "one"), 10)
    first = tried(study(tmp_path / "two"), 6)
    assert first + tried(study(tmp_path / "two"), 4) == whole


def test_the_seed_decides(tmp_path: Path) -> None:
    assert tried(study(tmp_path / "a", 1), 6) != tried(study(tmp_path / "b", 2), 6)


def test_it_finds_what_is_good_sooner_than_chance(tmp_path: Path) -> None:
    """After the first few points most are near the best seats (chance: a quarter)."""
    late = tried(study(tmp_path), 30)[10:]
    assert sum(point["--seqs"] == 32 for point in late) > len(late) / 2


def test_what_is_remembered_outlives_the_process(tmp_path: Path) -> None:
    study(tmp_path).remember("pairs", [{"a": 1.5}])
    assert study(tmp_path).recall("pairs") == [{"a": 1.5}]
    assert study(tmp_path).recall("other") is None


def test_a_file_that_is_no_study_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    path.write_text("not a journal\n")
    with pytest.raises(AssayError, match=r"study\.journal"):
        OptunaOptimiser(path, SPACE, 0)
