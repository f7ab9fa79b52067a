"""What every probe of an engine keeps to, the shipped fake as well as the real one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web

from assay.adapters.in_memory_probe import InMemoryProbes
from assay.adapters.in_memory_server import IDENTITY
from assay.adapters.metrics_text import COUNTERS, GAUGES, TTFT, read_metrics
from assay.adapters.probe_vllm import VllmProbes
from assay.ports import EngineProbes, ProcessUsage, RunningServer
from assay.records import Endpoint, EngineSample
from tests.metrics_server import MetricsServer

TEXT = """
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 1.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 7.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
# TYPE vllm:num_preemptions counter
vllm:num_preemptions_total{engine="0",model_name="m"} 2.0
# TYPE vllm:prompt_tokens counter
vllm:prompt_tokens_total{engine="0",model_name="m"} 1200.0
vllm:prompt_tokens_created{engine="0",model_name="m"} 1.7e+09
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="m"} 4.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 5.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 5.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} 0.5
# TYPE python_gc_objects_collected counter
python_gc_objects_collected_total{generation="0"} 9000.0
"""


def running(endpoint: Endpoint, usage: ProcessUsage | None = None, gpus: int = 0) -> RunningServer:
    return RunningServer(
        endpoint=endpoint, identity=IDENTITY, started_in_s=0.0, log_tail=str,
        is_alive=lambda: True, usage=lambda: usage, gpus=gpus,
    )  # fmt: skip


@contextmanager
def real(tmp_path: Path) -> Iterator[tuple[EngineProbes, Endpoint]]:
    with MetricsServer(text=TEXT) as server:
        yield VllmProbes(), server.endpoint


@contextmanager
def fake(tmp_path: Path) -> Iterator[tuple[EngineProbes, Endpoint]]:
    yield InMemoryProbes(), Endpoint(base_url="http://in-memory", model="m")


@pytest.mark.parametrize("made", [real, fake])
def test_a_look_carries_its_moment_and_session_and_a_probe_closes_twice(made, tmp_path) -> None:
    with made(tmp_path) as (probes, endpoint):
        probe = probes.open(running(endpoint))
        first, second = probe.sample(1.5, 0), probe.sample(2.5, 3)
        probe.close()
        probe.close()
    assert (first.at_s, first.session, second.at_s, second.session) == (1.5, 0, 2.5, 3)
    assert first.running is not None
    assert first.error_kind is None


def test_workers_are_added_up_and_the_fullest_cache_counts() -> None:
    found = read_metrics(TEXT)
    assert found == {
        "running": 4.0, "waiting": 7.0, "kv_cache_share": 0.75, "preemptions": 2.0,
        "prompt_tokens": 1200.0, "ttft_count": 5.0, "ttft_sum_s": 0.5,
        "ttft_buckets": ((0.1, 4.0),),
    }  # fmt: skip


def test_what_an_engine_does_not_say_is_absent_and_never_zero() -> None:
    sample = EngineSample(at_s=0.0, **read_metrics("vllm:num_requests_running 2.0"))
    assert sample.running == 2.0
    assert sample.waiting is None
    assert sample.preemptions is None
    assert read_metrics("vllm:kv_cache_usage_perc NaN") == {}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (web.Response(status=503), "http_503"),
        (web.Response(text="<html>"), "no_figures"),
        (web.Response(text="vllm:num_requests_running{ oops"), "garbage"),
    ],
)
def test_an_engine_that_does_not_say_has_a_reason_and_no_figures(answer, kind) -> None:
    with MetricsServer(text="", answer=answer) as server:
        probe = VllmProbes().open(running(server.endpoint))
        sample = probe.sample(1.0, 0)
        probe.close()
    assert sample == EngineSample(at_s=1.0, error_kind=kind)


def test_an_engine_that_is_gone_has_a_reason_and_its_processes_no_figures() -> None:
    probe = VllmProbes().open(running(Endpoint(base_url="http://127.0.0.1:9", model="m")))
    assert probe.sample(0.0, 0) == EngineSample(at_s=0.0, error_kind="connection")
    probe.close()


def test_processes_and_a_unix_socket(tmp_path: Path) -> None:
    with MetricsServer(text=TEXT, uds=tmp_path / "v.sock") as server:
        usage = ProcessUsage(cpu_s=12.5, memory_bytes=2**30)
        probe = VllmProbes().open(running(server.endpoint, usage))
        sample = probe.sample(0.0, 0)
        probe.close()
    assert (sample.cpu_s, sample.memory_bytes) == (12.5, 2**30)
    assert sample.waiting == 7.0


def test_a_machine_without_accelerators_has_no_figures_of_them() -> None:
    pynvml = pytest.importorskip("pynvml")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        pass
    else:
        pynvml.nvmlShutdown()
        pytest.skip("this machine has an accelerator")
    with MetricsServer(text=TEXT) as server:
        probe = VllmProbes().open(running(server.endpoint, gpus=2))
        assert probe.sample(0.0, 0).gpus == ()
        probe.close()


def test_every_name_is_one_of_vllms() -> None:
    assert all(name.startswith("vllm:") for name in (*GAUGES, *COUNTERS, TTFT))
