"""A whole search with everything real but the engine, its load and MLflow."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from assay.adapters.in_memory_server import InMemoryEngine, InMemoryServer
from assay.documents import read_yaml
from assay.errors import ArtifactError, ConfigError, InfrastructureError
from assay.ports import ServeRequest
from assay.serving_profile import Profile, Serving
from assay.tuning.trials import TrialState
from tests.gate_rig import MODEL
from tests.tune_rig import SERVING, SPACE, TuneRig, make_tune_rig, seats

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


@pytest.fixture
def rig(tmp_path: Path) -> TuneRig:
    return make_tune_rig(tmp_path)


def seats_of(profile: Profile) -> str:
    return profile.arguments[profile.arguments.index("--max-num-seqs") + 1]


def test_it_recommends_the_settings_that_carry_most_with_the_gain_and_its_interval(
    rig: TuneRig,
) -> None:
    result = rig.tune(trials=12)
    said = result.outcome.recommendation
    assert said.reason.startswith("Change --max-num-seqs 8 → 32, ")
    assert "THREADS 1 → 2: +714 % goodput" in said.reason
    assert "at 95 % confidence" in said.reason
    assert said.gain is not None
    assert said.gain.lower > 6
    assert rig.server.running == []


def test_trial_zero_is_the_settings_as_they_are(rig: TuneRig) -> None:
    rig.tune()
    first = rig.server.requests[0].profile
    assert first == read_yaml(rig.folder / "serving.yaml", Serving).profile("cpu")


def test_the_file_is_left_alone_and_the_recommended_one_lies_beside_it(rig: TuneRig) -> None:
    result = rig.tune()
    assert (rig.folder / "serving.yaml").read_text() == SERVING
    assert result.serving == rig.folder / "serving.tuned.yaml"
    text = result.serving.read_text()
    assert "# The settings of a test." in text
    assert "# by its id" in text
    assert f"assay gate {MODEL} 1.0.0 --serving {result.serving}" in result.next_step
    assert not result.applied


def test_apply_changes_the_file(rig: TuneRig) -> None:
    result = rig.tune(apply=True)
    assert result.applied
    profile = read_yaml(rig.folder / "serving.yaml", Serving).profile("cpu")
    assert seats_of(profile) == "32"
    assert (rig.folder / "serving.yaml").read_text() == (
        rig.folder / "serving.tuned.yaml"
    ).read_text()


def test_a_file_that_was_changed_meanwhile_is_not_overwritten(rig: TuneRig) -> None:
    def meddle(rate: float) -> None:
        (rig.folder / "serving.yaml").write_text(SERVING + "# mine\n")

    rig.before_step = meddle
    with pytest.raises(ConfigError, match="was changed while the search ran"):
        rig.tune(apply=True)
    assert (rig.folder / "serving.yaml").read_text() == SERVING + "# mine\n"


def test_settings_that_gain_nothing_are_left_as_they_are(rig: TuneRig) -> None:
    rig.capacity = lambda profile: 10.0
    result = rig.tune()
    assert result.outcome.recommendation.number is None
    assert result.outcome.recommendation.reason.startswith("Keep what you have")
    assert (result.serving, result.diff) == (None, "")
    assert not (rig.folder / "serving.tuned.yaml").exists()


def test_what_looked_better_by_luck_is_found_out_when_measured_again(rig: TuneRig) -> None:
    lucky = iter([10.0, 10.0, 40.0])

    def capacity(profile: Profile) -> float:
        return next(lucky, 10.0)

    rig.capacity = capacity
    result = rig.tune()
    assert result.outcome.recommendation.number is None
    assert "noise explains" in result.outcome.recommendation.reason
    assert result.outcome.recommendation.gain is not None


def test_settings_that_miss_the_lowest_rate_are_pruned_after_one_step(rig: TuneRig) -> None:
    steps: list[float] = []
    rig.before_step = steps.append
    rig.capacity = lambda profile: 1.0 if seats_of(profile) != "8" else 10.0
    result = rig.tune(space=SPACE.replace("trials: 8", "trials: 4"))
    pruned = [one for one in result.outcome.trials if one.state is TrialState.PRUNED]
    assert pruned
    assert all(one.excess == pytest.approx(1.0) for one in pruned)
    assert all("beyond 400 ms" in one.reason for one in pruned)


def test_settings_that_the_engine_refuses_are_a_trial_with_its_last_words(rig: TuneRig) -> None:
    class Fussy(InMemoryServer):
        def launch(self, request: ServeRequest) -> InMemoryEngine:
            words = "not enough memory; its last words:\nINFO loading\nERROR no room"
            fails = seats_of(request.profile) == "32"
            self.failures = {"1.0.0": InfrastructureError(words)} if fails else {}
            return super().launch(request)

    rig.server = Fussy()
    result = rig.tune(trials=12)
    refused = [one for one in result.outcome.trials if one.state is TrialState.REFUSED]
    assert refused
    assert all(one.reason == "not enough memory" for one in refused)
    assert all("ERROR no room" in one.log_tail for one in refused)
    chosen = result.outcome.recommendation.number
    assert chosen is not None
    assert result.outcome.trials[chosen].point["--max-num-seqs"] == 16
    assert rig.server.running == []


def test_an_engine_that_dies_under_load_has_refused_the_settings(rig: TuneRig) -> None:
    def dies(rate: float) -> None:
        if rate > 5 and seats_of(rig.server.requests[-1].profile) == "32":
            rig.server.running.clear()
            raise InfrastructureError("the server went away")

    rig.before_step = dies
    result = rig.tune(trials=12)
    refused = [one for one in result.outcome.trials if one.state is TrialState.REFUSED]
    assert refused
    assert all("went away" in one.reason for one in refused)


def test_a_load_that_cannot_be_made_is_no_fault_of_the_settings(rig: TuneRig) -> None:
    def cannot(rate: float) -> None:
        raise InfrastructureError("the generator could not keep up")

    rig.before_step = cannot
    with pytest.raises(InfrastructureError, match="could not keep up"):
        rig.tune()
    assert rig.server.running == []


def test_an_argument_that_the_engine_does_not_know_is_a_mistake_in_the_space(rig: TuneRig) -> None:
    class Strict(InMemoryServer):
        def launch(self, request: ServeRequest) -> InMemoryEngine:
            words = "exit status 2; its last words:\napi_server: error: unrecognized arguments: "
            given = [one for one in request.profile.arguments if one == "--max-num-seats"]
            wrong = InfrastructureError(f"{words}{given[0]} 4") if given else None
            self.failures = {} if wrong is None else {"1.0.0": wrong}
            return super().launch(request)

    rig.server = Strict()
    space = SPACE.replace(
        "      --enforce", "      --max-num-seats: {values: [4, 5]}\n      --enforce"
    )
    with pytest.raises(ConfigError, match=r"tune\.yaml: profiles\.cpu.*'--max-num-seats'"):
        rig.tune(space=space)
    assert rig.server.running == []


def test_present_settings_that_do_not_start_end_the_search_at_once(rig: TuneRig) -> None:
    rig.server.failures = {"1.0.0": ArtifactError("the engine refuses the weights")}
    with pytest.raises(InfrastructureError, match="present settings do not serve"):
        rig.tune()
    assert len(rig.server.launched) == 1
    rig.server.failures = {}
    assert rig.tune().outcome.present == 1


def test_a_finished_study_answers_again_without_an_engine(rig: TuneRig) -> None:
    first = rig.tune()
    launched = len(rig.server.launched)
    again = rig.tune()
    assert len(rig.server.launched) == launched
    assert again.document == first.document


def test_a_larger_budget_goes_on_with_the_same_study(rig: TuneRig) -> None:
    first = rig.tune(trials=4)
    more = rig.tune(trials=6)
    assert more.outcome.study == first.outcome.study
    assert more.outcome.trials[:4] == first.outcome.trials


def test_a_killed_search_goes_on_and_the_trial_it_was_at_stays_spent(rig: TuneRig) -> None:
    def killed(rate: float) -> None:
        if len(rig.server.launched) == 3:
            raise KeyboardInterrupt

    rig.before_step = killed
    with pytest.raises(KeyboardInterrupt):
        rig.tune()
    assert rig.server.running == []
    assert list(rig.settings.staging.glob("*")) == []
    rig.before_step = lambda rate: None
    result = rig.tune()
    assert len(result.outcome.trials) == 8
    assert [one.number for one in result.outcome.trials if one.state is TrialState.KILLED] == [2]


def test_confirmations_are_not_paid_for_twice(rig: TuneRig) -> None:
    def killed(rate: float) -> None:
        if len(rig.server.launched) == 8 + 3:
            raise KeyboardInterrupt

    rig.before_step = killed
    with pytest.raises(KeyboardInterrupt):
        rig.tune()
    rig.before_step = lambda rate: None
    rig.tune()
    assert len(rig.server.launched) == 8 + 3 + 2


def test_no_trial_is_begun_after_the_time_is_over(rig: TuneRig) -> None:
    rig.clock = lambda: 61.0 * len(rig.server.launched)
    result = rig.tune(space=SPACE + "minutes: 3\n")
    assert len(result.outcome.trials) == 3
    assert any("the time is over after 3 of 8 trials" in line for line in rig.said)


def test_a_small_space_ends_the_search(rig: TuneRig) -> None:
    space = yaml.safe_load(SPACE)
    space["profiles"]["cpu"] = {"arguments": {"--max-num-seqs": {"values": [8, 16]}}}
    result = rig.tune(space=yaml.safe_dump(space))
    assert len(result.outcome.trials) == 2
    assert any("no other settings left" in line for line in rig.said)


@pytest.mark.parametrize("budget", [0, 1, -1])
def test_a_budget_that_compares_nothing_is_refused(rig: TuneRig, budget: int) -> None:
    with pytest.raises(ConfigError, match=f"--trials {budget}: expected 2 at least"):
        rig.tune(trials=budget)


def test_a_load_without_a_search_is_refused(rig: TuneRig) -> None:
    with pytest.raises(ConfigError, match="'quick' has no search"):
        rig.tune(space=SPACE + "load: quick\n")


def test_a_model_without_production_needs_a_version(rig: TuneRig) -> None:
    with pytest.raises(ConfigError, match="has no production version to tune"):
        rig.tune(version=None)


def test_an_unknown_version_is_named(rig: TuneRig) -> None:
    with pytest.raises(ConfigError, match=r"1\.0\.0"):
        rig.tune(version="9.9.9")


def test_two_searches_of_one_version_do_not_spend_one_budget_twice(rig: TuneRig) -> None:
    def second(rate: float) -> None:
        rig.before_step = lambda rate: None
        with pytest.raises(ConfigError, match="another `assay tune` is at this model"):
            rig.tune()

    rig.before_step = second
    rig.tune()


def test_every_trial_is_recorded_with_what_was_measured_and_nothing_else(rig: TuneRig) -> None:
    rig.capacity = lambda profile: 1.0 if seats_of(profile) == "4" else seats(profile)
    result = rig.tune(trials=12)
    run = result.outcome.study
    assert sorted(rig.log.trials[run]) == list(range(12))
    for trial in result.outcome.trials:
        metrics = rig.log.metrics[run][trial.number]
        measured = trial.state is TrialState.MEASURED
        assert ("tuning/goodput_per_s" in metrics) == measured
        assert ("tuning/cost_per_million_tokens" in metrics) == measured
    assert rig.log.closed[run] == result.outcome.recommendation.reason
    assert set(rig.log.files[run]) >= {"pareto.svg", "report.md", "trials.json", "serving.diff"}


def test_the_document_fits_its_schema_and_the_page_says_the_same(rig: TuneRig) -> None:
    result = rig.tune()
    schema = json.loads((SCHEMAS / "tuning.schema.json").read_text())
    document = json.loads((result.folder / "trials.json").read_text())
    Draft202012Validator(schema).validate(document)
    page = (result.folder / "report.md").read_text()
    assert document["reason"] in page
    assert result.diff in page
    assert page.count("\n| ") >= len(document["trials"])


def test_the_picture_is_the_same_bytes_for_the_same_trials(rig: TuneRig) -> None:
    first = (rig.tune().folder / "pareto.svg").read_bytes()
    assert (rig.tune().folder / "pareto.svg").read_bytes() == first
    assert first.startswith(b"<?xml")
    assert b"recommended" in first


def test_the_flow_has_the_command_lines_parameters_but_applies_nothing() -> None:
    import inspect

    from assay.cli.tune import tune
    from flows.tune_serving import tune_serving

    flow = set(inspect.signature(tune_serving.fn).parameters)
    command = set(inspect.signature(tune).parameters)
    assert command - flow == {"apply", "as_json"}
    assert flow <= command


def test_the_flow_fails_by_the_name_of_the_error(tmp_path: Path) -> None:
    from flows.tune_serving import tune_serving

    state = tune_serving.fn(model=MODEL, space=str(tmp_path / "none.yaml"))
    assert state.name == "ConfigError"
    assert "none.yaml" in str(state.message)
