"""What a load test reports is what the engine's own log says, whatever the arrivals and the hang.

A small version of `bench/load_truth.py`, with bounds that hold on a machine that is busy with other
tests; the study's are 2 % or 1 ms.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from assay.load.profile import LoadProfile
from bench.load_rig import MockEngine, mock_engine
from bench.load_truth import arrivals, compared, errors_agree, load, naive_ms, script, true_times
from bench.mock_engine import planned

pytestmark = pytest.mark.alone

RATE, SECONDS, WARM_UP_S, STALL_S = 60.0, 2.0, 0.3, 0.8
TIMER_MS = 1.5  # the engine's timers keep whole milliseconds
WITHIN_SHARE, WITHIN_MS = 0.05, 5.0
MODELS = ("closed", "constant", "poisson", "gamma", "ramp", "spike", "replay")


@pytest.fixture(scope="module")
def engine() -> Iterator[MockEngine]:
    with mock_engine() as started:
        yield started


def profile(model: str, folder: Path, **changes: object) -> LoadProfile:
    fields = {
        "name": "truth",
        "arrivals": arrivals(RATE, SECONDS, folder / "trace")[model],
        "duration_s": SECONDS,
        "warm_up_s": WARM_UP_S,
    }
    return LoadProfile.model_validate(fields | changes)


@pytest.mark.parametrize("model", MODELS)
def test_every_reported_percentile_is_the_engines_own_through_a_hang(
    engine: MockEngine, model: str, tmp_path: Path
) -> None:
    done = load(engine, profile(model, tmp_path), script(SECONDS, WARM_UP_S, stall_s=STALL_S))
    untrue = [
        row for row in compared(done) if row.error_ms > max(WITHIN_MS, WITHIN_SHARE * row.true_ms)
    ]
    assert not untrue
    assert errors_agree(done)
    assert done.summary.answered == len(true_times(done)["e2e"]) > 50


def test_a_hang_is_hidden_from_times_that_count_from_the_sending(
    engine: MockEngine, tmp_path: Path
) -> None:
    few = profile("constant", tmp_path, max_in_flight=14)
    done = load(engine, few, script(SECONDS, WARM_UP_S, stall_s=STALL_S))
    true_ms = float(np.quantile(true_times(done)["ttft"], 0.9, method="inverted_cdf"))
    reported = done.summary.times["ttft"].at(0.9)
    assert reported is not None
    assert true_ms > 1e3 * STALL_S / 2
    assert reported.value == pytest.approx(true_ms, rel=WITHIN_SHARE)
    assert naive_ms(done)["p90"] < true_ms / 3
    assert done.summary.held > 0


def test_the_script_is_the_same_in_any_process_and_the_log_keeps_to_it(
    engine: MockEngine, tmp_path: Path
) -> None:
    plan = script(SECONDS, WARM_UP_S, stall_s=0.0)
    done = load(engine, profile("constant", tmp_path), plan)
    due_ms = np.array([planned(plan, n).first_s * 1e3 for n in range(len(done.truth.ids))])
    answered = np.array([outcome == "ok" for outcome in done.truth.outcomes])
    late_ms = (done.truth.ttft_ms - due_ms)[answered]
    assert late_ms.min() > -TIMER_MS
    assert np.median(late_ms) < WITHIN_MS
