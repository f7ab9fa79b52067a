"""The probe against a real vLLM: every name we read is one it exports, and its clock agrees."""

import httpx2
import pytest

from assay import asking
from assay.adapters.chat_aiohttp import AiohttpChat
from assay.adapters.metrics_text import COUNTERS, GAUGES, TTFT
from assay.adapters.probe_vllm import VllmProbes
from assay.engine_health import ClockCheck, check_clock, health
from assay.interleaving import BlockPlan, SideBySide, closed_loop, interleaved_load
from assay.ports import AskLimits, RunningServer
from assay.records import AnswerStatus, GoldenCase, Role
from assay.task import Decoding, Message, Task
from tests import serving_rig

pytestmark = [
    pytest.mark.vllm, pytest.mark.paired, pytest.mark.slow, pytest.mark.timeout(900),
    serving_rig.needs_vllm,
]  # fmt: skip

TASK = Task(
    schema_version=1,
    name="emotion",
    labels=("joy", "anger"),
    messages=(Message(role="user", content="{text}"),),
    decoding=Decoding(mode="free", max_tokens=8),
    readiness_text="I got the job!",
)
CASES = tuple(
    GoldenCase(
        id=f"c{i:02}", text=f"case number {i} {'is about something longer ' * (i % 5)}",
        text_sha256="0" * 64, label="joy", lang="en", source="test", stratum="core", slices=(),
        added_in="1",
    )
    for i in range(32)
)  # fmt: skip


def test_every_name_we_read_is_one_that_vllm_exports(tiny_engine: RunningServer) -> None:
    socket = httpx2.HTTPTransport(uds=str(tiny_engine.endpoint.uds))
    with httpx2.Client(base_url="http://localhost", transport=socket) as http:
        lines = http.get("/metrics").text.splitlines()
    exported = {line.partition("{")[0] for line in lines if line.startswith("vllm:")}
    read = {*GAUGES, *COUNTERS, *(f"{TTFT}_{part}" for part in ("bucket", "count", "sum"))}
    assert read <= exported
    probe = VllmProbes().open(tiny_engine)
    sample = probe.sample(0.0, 0)
    probe.close()
    assert sample.error_kind is None
    for field in (*GAUGES.values(), *COUNTERS.values(), "ttft_count", "ttft_sum_s", "ttft_buckets"):
        assert getattr(sample, field) not in (None, ()), field


def test_what_vllm_counts_is_what_was_asked_and_its_clock_agrees(
    tiny_engine: RunningServer,
) -> None:
    loads = interleaved_load(
        closed_loop(AiohttpChat(), AskLimits(concurrency=4, request_timeout_s=60.0), "run-1"),
        SideBySide(
            {Role.CANDIDATE: tiny_engine.endpoint},
            {Role.CANDIDATE: lambda: VllmProbes().open(tiny_engine)},
        ),
        [Role.CANDIDATE],
        asking.golden_questions(TASK, CASES),
        BlockPlan(looks=(10,), per_block=16, seed=1),
        print,
    )
    samples = loads.samples[Role.CANDIDATE]
    assert {sample.status for sample in samples} == {AnswerStatus.OK}
    found = health(loads.engine[Role.CANDIDATE], samples)
    assert found is not None
    print(found)
    assert found.unanswered == 0
    assert found.faults == ()
    assert found.prompt_tokens == sum(s.prompt_tokens or 0 for s in samples)
    assert found.generation_tokens == sum(s.completion_tokens or 0 for s in samples)
    assert found.cpu_cores is not None
    assert 0.1 < found.cpu_cores < 64
    assert found.memory_max_bytes is not None
    assert found.memory_max_bytes > 200 * 2**20
    assert found.gpu_busy is None
    assert found.prefix_hit_rate is not None
    assert 0 <= found.prefix_hit_rate <= 1
    checked = check_clock(found, samples)
    assert isinstance(checked, ClockCheck)
    print(checked, checked.outside_ms)
    assert checked.requests == found.first_tokens == len(samples)
    # The engine's clock runs within ours: what lies outside is its HTTP server, and us.
    assert -1.0 < checked.outside_ms < checked.client_ms
    assert checked.engine_ms > 0
