"""Blocks of an open loop: schedules, lateness that counts, and a generator that was late."""

from dataclasses import replace

import numpy as np
import pytest

from assay.adapters.in_memory_load import InMemoryLoad, Scripted
from assay.asking import golden_questions
from assay.errors import ConfigError, InfrastructureError
from assay.interleaving import BlockPlan, SideBySide, interleaved_load
from assay.load.named_profiles import named_profile
from assay.load.profile import LoadProfile
from assay.open_loop import OpenLoop, steady_profile
from assay.records import LatencySample, Role
from evaluators.latency_times import late_ms
from tests.assay.test_interleaving import ENDPOINTS, TASK, cases


def profile(kind: str = "constant", rate: float = 100.0, **changes: object) -> LoadProfile:
    fields = {"arrivals": {"kind": kind, "rate_per_s": rate}, "duration_s": 60.0, **changes}
    return named_profile("ours", {"ours": fields})


def open_loop(profile: LoadProfile, *, answer_s: float = 0.001) -> OpenLoop:
    generator = InMemoryLoad(script=lambda body: Scripted(first_token_s=answer_s))
    return OpenLoop(generator=generator, profile=profile, seed=3, run_id="run-1")


def timed(send: OpenLoop) -> dict[Role, tuple[LatencySample, ...]]:
    loads = interleaved_load(
        send, SideBySide(ENDPOINTS), list(Role), golden_questions(TASK, cases(20)),
        BlockPlan(looks=(3,), per_block=8, seed=1), lambda line: None,
    )  # fmt: skip
    return dict(loads.samples)


def test_both_models_are_asked_by_one_schedule_and_every_block_by_another() -> None:
    samples = timed(open_loop(profile("poisson")))

    def gaps(role: Role, block: int) -> list[float]:
        starts = [s.intended_s or 0.0 for s in samples[role] if s.block == block]
        return [float(gap) for gap in np.diff(starts)]

    for block in range(3):
        assert gaps(Role.CANDIDATE, block) == pytest.approx(gaps(Role.PRODUCTION, block))
    assert gaps(Role.CANDIDATE, 0) != pytest.approx(gaps(Role.CANDIDATE, 1))
    ids = [[(s.block, s.case_id) for s in taken] for taken in samples.values()]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("kind", ["constant", "poisson", "gamma"])
def test_a_block_has_as_many_arrivals_as_questions_at_the_rate_asked_for(kind: str) -> None:
    send = open_loop(profile(kind, rate=50.0))
    lengths = [send.schedule(block, 25)[-1] for block in range(200)]
    assert all(len(send.schedule(block, 25)) == 25 for block in range(5))
    assert np.mean(lengths) == pytest.approx(0.5, rel=0.15)


@pytest.mark.alone
def test_a_request_that_had_to_wait_for_a_place_waits_in_its_time() -> None:
    send = open_loop(profile(rate=200.0, max_in_flight=1), answer_s=0.03)
    block = [sample for sample in timed(send)[Role.CANDIDATE] if sample.block == 0]
    assert block[0].ttft_ms == pytest.approx(30, abs=25)
    assert late_ms(block[-1]) > 100
    assert late_ms(block[0]) < 50
    send.check_lag()


def test_a_generator_that_could_not_keep_up_makes_no_times() -> None:
    limit = {"max_lag_p99_ms": 0.000001}
    send = open_loop(profile(generator=limit))
    timed(send)
    with pytest.raises(InfrastructureError, match=r"ms late \(p99\), expected at most 1e-06 ms"):
        send.check_lag()


def test_arrivals_without_a_steady_rate_are_refused() -> None:
    with pytest.raises(ConfigError, match="of kind 'spike'; expected a steady rate"):
        steady_profile("spike", {})
    with pytest.raises(ConfigError, match="no load profile 'sometimes'"):
        steady_profile("sometimes", {})
    assert steady_profile("quick", {}).arrivals.kind == "poisson"


def test_ctrl_c_during_a_block_ends_the_gate() -> None:
    class Interrupted(InMemoryLoad):
        def run(self, *arguments: object, **named: object):  # type: ignore[no-untyped-def,override]
            return replace(super().run(*arguments, **named), interrupted=True)  # type: ignore[arg-type]

    send = replace(open_loop(profile()), generator=Interrupted(script=lambda body: Scripted()))
    with pytest.raises(KeyboardInterrupt):
        timed(send)
