"""Profiles by name, as the policy and nobody else changes them."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from assay.errors import ConfigError
from assay.load.named_profiles import NAMES, all_profiles, named_profile
from assay.load.profile import LoadProfile, Objectives


@pytest.mark.parametrize(
    ("name", "rate", "duration_s"),
    [("sustained-full", 100, 3600), ("spike-full", 500, 300), ("soak-full", 50, 86_400)],
)
def test_the_full_profiles_are_what_their_names_promise(
    name: str, rate: float, duration_s: float
) -> None:
    profile = named_profile(name)
    assert profile.expected_requests == rate * duration_s
    assert profile.objectives == Objectives()


def test_the_objectives_in_force_are_the_default() -> None:
    assert Objectives().model_dump() == {
        "ttft_p99_ms": 500.0, "e2e_p99_ms": None, "tokens_per_s": 50.0, "max_error_rate": 0.001,
        "min_availability": 0.999,
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_named_profile_can_be_run(name: str) -> None:
    profile = named_profile(name)
    if (profile.expected_requests or 0) > 400_000:
        profile = profile.at_rate(1.0)
    times = profile.schedule()
    assert times is not None
    assert np.all(np.diff(times) >= 0)
    measured = np.count_nonzero(times >= profile.warm_up_s)
    assert measured == pytest.approx(profile.expected_requests, rel=0.35)


def test_the_policy_changes_fields_and_leaves_the_rest() -> None:
    changed = named_profile(
        "quick", {"quick": {"arrivals": {"rate_per_s": 3}, "objectives": {"ttft_p99_ms": 100}}}
    )
    base = named_profile("quick")
    assert changed.expected_requests == 3 * base.duration_s
    assert changed.objectives.ttft_p99_ms == 100
    assert changed.objectives.max_error_rate == base.objectives.max_error_rate


def test_another_kind_of_arrivals_replaces_the_old_one_whole() -> None:
    changed = named_profile("spike", {"spike": {"arrivals": {"kind": "closed", "concurrency": 7}}})
    assert changed.arrivals.model_dump() == {"kind": "closed", "concurrency": 7}


def test_the_policy_may_have_profiles_of_its_own() -> None:
    ours = {"arrivals": {"kind": "constant", "rate_per_s": 2}, "duration_s": 9}
    assert set(all_profiles({"ours": ours})) == {*NAMES, "ours"}
    assert named_profile("ours", {"ours": ours}).expected_requests == 18


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"duraton_s": 3}, "duraton_s"),
        ({"arrivals": {"rate_per_s": 0}}, "rate_per_s.*greater than 0.*found 0"),
        ({"arrivals": {"rate_per_s": -4}}, "rate_per_s"),
        ({"arrivals": {"rate_per_s": 1e9}}, "rate_per_s.*100000"),
        ({"arrivals": {"rate_per_s": float("nan")}}, "rate_per_s"),
        ({"arrivals": {"rate_per_s": 90_000}, "duration_s": 600_000}, "expected 1 to 20000000"),
        ({"arrivals": {"kind": "fast"}}, "arrivals"),
        ({"requests": 5}, "closed loop only"),
        ({"search": {}, "arrivals": {"kind": "closed", "concurrency": 1}}, "changes one rate"),
        ({"objectives": {"max_error_rate": 0}}, "max_error_rate"),
    ],
)
def test_a_profile_that_is_none_is_refused_with_its_field(
    fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        named_profile("quick", {"quick": fields}, where="p.yaml")
    assert "p.yaml: load.quick" in str(caught.value)


def test_a_name_that_nobody_knows_is_said_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"'quik'.*quick, .*ramp"):
        named_profile("quik")


def test_a_request_of_the_warm_up_is_meant_to_start_before_its_end() -> None:
    for arrivals in (
        {"kind": "spike", "rate_per_s": 20.0},
        {"kind": "ramp", "from_per_s": 5.0, "to_per_s": 50.0},
        {"kind": "poisson", "rate_per_s": 20.0},
    ):
        profile = LoadProfile.model_validate(
            {"name": "p", "arrivals": arrivals, "duration_s": 30.0, "warm_up_s": 5.0}
        )
        times = profile.schedule()
        assert times is not None
        assert 0 < np.count_nonzero(times < 5.0) < len(times) / 2
        assert times[-1] <= 35.0


def test_a_closed_loop_has_no_schedule_and_a_replay_follows_its_trace() -> None:
    fields: dict[str, Any] = {"name": "p", "duration_s": 10.0, "warm_up_s": 0.0}
    closed = LoadProfile.model_validate(fields | {"arrivals": {"kind": "closed", "concurrency": 2}})
    assert closed.schedule() is None
    replay = LoadProfile.model_validate(
        fields | {"arrivals": {"kind": "replay", "trace": "t.txt", "speed": 2}}
    )
    times = replay.schedule(np.asarray([100.0, 101.0, 104.0, 150.0]))
    assert times is not None
    assert times.tolist() == [0.0, 0.5, 2.0]
    with pytest.raises(ConfigError, match=r"t\.txt"):
        replay.schedule()


def test_only_a_load_with_one_rate_can_be_run_at_another() -> None:
    assert named_profile("quick").at_rate(3.0, 10.0).expected_requests == 30
    closed = named_profile("quick", {"quick": {"arrivals": {"kind": "closed", "concurrency": 2}}})
    with pytest.raises(ValueError, match="no single rate"):
        closed.at_rate(3.0)


def test_a_profile_is_frozen() -> None:
    with pytest.raises(ValidationError):
        named_profile("quick").duration_s = 3.0
