"""The watch over engines under load: where counts begin, and how memory stays bounded."""

import time

import pytest

from assay.adapters.in_memory_probe import InMemoryProbes
from assay.adapters.in_memory_server import IDENTITY
from assay.engine_samples import EngineRow, engine_row, read_engine_samples
from assay.engine_watch import EngineWatch, thinned
from assay.evidence import write_jsonl
from assay.ports import EngineProbe, RunningServer
from assay.records import Endpoint, EngineSample, GpuSample, Role


def probe_of(probes: InMemoryProbes, model: str = "m") -> EngineProbe:
    return probes.open(
        RunningServer(
            endpoint=Endpoint(base_url="http://in-memory", model=model), identity=IDENTITY,
            started_in_s=0.0, log_tail=str, is_alive=lambda: True,
        )
    )  # fmt: skip


@pytest.mark.alone
def test_a_watch_looks_first_at_every_tick_and_last() -> None:
    probes = InMemoryProbes()
    with EngineWatch(clock_zero_s=time.monotonic(), interval_s=0.02) as watch:
        watch.begin(Role.CANDIDATE, probe_of(probes))
        time.sleep(0.15)
        watch.end(Role.CANDIDATE)
        taken = watch.samples[Role.CANDIDATE]
        time.sleep(0.05)
        assert watch.samples[Role.CANDIDATE] == taken
    assert 4 <= len(taken) <= 9
    assert [sample.at_s for sample in taken] == sorted(sample.at_s for sample in taken)
    assert taken[-1].at_s >= 0.15
    assert probes.open_now == []


def test_the_last_look_waits_for_the_engine_to_come_to_rest() -> None:
    began = time.monotonic()

    def until_later(model: str, at_s: float) -> EngineSample:
        busy = time.monotonic() < began + 0.1
        return EngineSample(at_s=at_s, running=1.0 if busy else 0.0, generation_tokens=5.0)

    with EngineWatch(clock_zero_s=began) as watch:
        watch.begin(Role.CANDIDATE, probe_of(InMemoryProbes(script=until_later)))
        watch.end(Role.CANDIDATE)
    assert watch.samples[Role.CANDIDATE][-1].running == 0.0


def test_each_start_of_an_engine_is_a_session_of_its_own() -> None:
    probes = InMemoryProbes()
    with EngineWatch(clock_zero_s=time.monotonic()) as watch:
        for _ in range(2):
            watch.begin(Role.PRODUCTION, probe_of(probes))
            watch.end(Role.PRODUCTION)
    assert [sample.session for sample in watch.samples[Role.PRODUCTION]] == [0, 0, 1, 1]


def test_every_watch_ends_with_the_load_however_it_ends() -> None:
    probes = InMemoryProbes()
    try:
        with EngineWatch(clock_zero_s=time.monotonic()) as watch:
            watch.begin(Role.CANDIDATE, probe_of(probes))
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert probes.open_now == []
    assert len(watch.samples[Role.CANDIDATE]) == 2


def test_a_soak_is_thinned_without_losing_a_peak_or_where_counts_begin() -> None:
    samples = [
        EngineSample(
            at_s=float(i), session=i // 50, waiting=float(i == 33), preemptions=float(i),
            kv_cache_share=0.9 if i == 71 else 0.1,
        )
        for i in range(100)
    ]  # fmt: skip
    kept = thinned(samples)
    assert len(kept) <= 54
    assert {kept[0], *[s for s in kept if s.at_s == 50.0]} == {samples[0], samples[50]}
    assert max(s.waiting or 0 for s in kept) == 1.0
    assert max(s.kv_cache_share or 0 for s in kept) == 0.9
    for session in (0, 1):
        last = [s for s in kept if s.session == session][-1]
        assert last.preemptions == 50 * session + 49


def test_a_line_holds_what_was_said_and_reads_back_the_same(tmp_path) -> None:
    said = EngineSample(
        at_s=1.5, session=1, running=2.0, kv_cache_share=0.5, ttft_buckets=((0.1, 3.0),),
        gpus=(
            GpuSample(
                index=0, busy_share=0.5, memory_bytes=1, memory_total_bytes=2, power_w=None
            ),
        ),
    )  # fmt: skip
    silent = EngineSample(at_s=2.5, error_kind="timeout")
    assert engine_row(silent) == {"at_s": 2.5, "session": 0, "error_kind": "timeout"}
    assert "power_w" not in engine_row(said)["gpus"][0]
    assert set(EngineRow.model_fields) == set(EngineSample.__slots__)
    path = tmp_path / "engine_samples.jsonl"
    write_jsonl(path, map(engine_row, (said, silent)))
    assert read_engine_samples(path) == (said, silent)
