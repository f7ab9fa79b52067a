"""What a chat client costs: ours, OpenAI's (both back ends) and httpx, against an instant server.

One run, side by side: client and server each on a core of its own where the machine has two, every
client the same requests, several rounds in turn, the median of the rounds. Ratios are to OpenAI's
client as it comes, more is better; on a machine that is busy with other work, CPU time is the
figure that holds. `python -m bench.clients [--requests N] [--connections N] [--rounds N]`
"""

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import openai
import uvloop

from assay.adapters.chat_aiohttp import AiohttpChat
from assay.adapters.chat_openai import OpenAIChat
from assay.adapters.chat_wire import request_body
from assay.ports import AskLimits, ChatClient, Question
from assay.records import AnswerStatus, Endpoint, Prediction
from assay.task import Decoding

LABELS = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
MESSAGES = [
    {"role": "system", "content": f"Which emotion? Answer with one word: {', '.join(LABELS)}."},
    {"role": "user", "content": "I got the job and I cannot stop smiling! " * 3},
]
BASELINE = "openai"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to ask of each client."""

    url: str
    requests: int
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one client did: requests a second, and its own CPU time for each."""

    per_s: float
    cpu_us: float


def main() -> None:
    """Runs every client and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.clients")
    parser.add_argument("--requests", type=int, default=1500, help="per client and round")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with _instant_server() as url:
        plan = Plan(url=url, requests=options.requests, connections=options.connections)
        for stream in (True, False):
            costs: dict[str, list[Cost]] = {name: [] for name in CLIENTS}
            for _ in range(options.rounds):
                for name, run in CLIENTS.items():
                    costs[name].append(_measure(run, plan, stream))
            _print(costs, "streaming" if stream else "not streaming")
    sys.stdout.write(
        f"\n{options.requests} requests a client, {options.connections} connections, median of "
        f"{options.rounds} rounds; Python {platform.python_version()}, {platform.machine()}, "
        f"{os.cpu_count()} cores\n"
    )


def _measure(run: Callable[[Plan, bool], int], plan: Plan, stream: bool) -> Cost:
    started, cpu = time.perf_counter(), time.process_time()
    answered = run(plan, stream)
    took, used = time.perf_counter() - started, time.process_time() - cpu
    assert answered == plan.requests, f"{answered} of {plan.requests} requests were answered"
    return Cost(per_s=plan.requests / took, cpu_us=used / plan.requests * 1e6)


def _print(costs: dict[str, list[Cost]], title: str) -> None:
    middle = {
        name: Cost(
            per_s=statistics.median(cost.per_s for cost in rounds),
            cpu_us=statistics.median(cost.cpu_us for cost in rounds),
        )
        for name, rounds in costs.items()
    }
    base = middle[BASELINE]
    sys.stdout.write(f"\n| {title} | requests/s | ratio | CPU µs a request | ratio |\n")
    sys.stdout.write("| --- | ---: | ---: | ---: | ---: |\n")
    for name, cost in middle.items():
        sys.stdout.write(
            f"| {name} | {cost.per_s:,.0f} | {cost.per_s / base.per_s:.1f} | {cost.cpu_us:,.0f} | "
            f"{base.cpu_us / cost.cpu_us:.1f} |\n"
        )


@contextmanager
def _instant_server() -> Iterator[str]:
    cores = sorted(os.sched_getaffinity(0))
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.instant_server"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if len(cores) > 1:
            os.sched_setaffinity(process.pid, {cores[-1]})
            os.sched_setaffinity(0, {cores[0]})
        yield f"http://127.0.0.1:{port}"
    finally:
        os.sched_setaffinity(0, set(cores))
        process.terminate()
        process.wait(10)


def _questions(count: int) -> list[Question]:
    decoding = Decoding(mode="constrained")
    return [
        Question(case_id=f"c{i}", messages=MESSAGES, choices=LABELS, decoding=decoding)
        for i in range(count)
    ]


def _gate_client(client: ChatClient) -> Callable[[Plan, bool], int]:
    """A client of the gate, through the gate's own port: records, retries, ids and all."""

    def run(plan: Plan, stream: bool) -> int:
        endpoint = Endpoint(base_url=plan.url, model="tiny")
        limits = AskLimits(concurrency=plan.connections, request_timeout_s=30.0)
        questions = _questions(plan.requests)
        if stream:
            samples = client.load(
                endpoint, questions, limits, block=0, run_id="bench", clock_zero_s=0.0
            )
            return sum(s.status is AnswerStatus.OK and s.ttft_ms is not None for s in samples)
        answers: list[Prediction] = []
        client.ask(endpoint, questions, limits, answers.append, run_id="bench")
        return sum(answer.raw == "joy" for answer in answers)

    return run


def _in_turn(plan: Plan, one: Callable[[], Awaitable[bool]]) -> Awaitable[int]:
    async def worker(left: Iterator[int]) -> int:
        return sum([await one() for _ in left])

    async def everyone() -> int:
        left = iter(range(plan.requests))
        return sum(await asyncio.gather(*(worker(left) for _ in range(plan.connections))))

    return everyone()


def _openai_client(http_client: Callable[[], Any]) -> Callable[[Plan, bool], int]:
    """OpenAI's library the way its documentation shows."""

    async def main(plan: Plan, stream: bool) -> int:
        async with openai.AsyncOpenAI(
            base_url=f"{plan.url}/v1", api_key="none", max_retries=0, http_client=http_client()
        ) as client:
            body = request_body(_questions(1)[0], "tiny", stream=stream)
            extra = {"structured_outputs": body.pop("structured_outputs")}

            async def one() -> bool:
                answer = await client.chat.completions.create(**body, extra_body=extra)
                if not stream:
                    return bool(answer.choices[0].message.content == "joy")
                words = [c.choices[0].delta.content async for c in answer if c.choices]
                return words[0] == "joy"

            return await _in_turn(plan, one)

    return lambda plan, stream: uvloop.run(main(plan, stream))


def _httpx_client(plan: Plan, stream: bool) -> int:
    """The same bytes through plain httpx, lines split by its own reader."""

    async def main() -> int:
        limits = httpx.Limits(max_connections=plan.connections)
        async with httpx.AsyncClient(limits=limits, timeout=30, trust_env=False) as client:
            body = request_body(_questions(1)[0], "tiny", stream=stream)
            url = f"{plan.url}/v1/chat/completions"

            async def one() -> bool:
                if not stream:
                    answer = (await client.post(url, json=body)).json()
                    return bool(answer["choices"][0]["message"]["content"] == "joy")
                async with client.stream("POST", url, json=body) as response:
                    lines = [line async for line in response.aiter_lines()]
                return "data: [DONE]" in lines

            return await _in_turn(plan, one)

    return uvloop.run(main())


CLIENTS: dict[str, Callable[[Plan, bool], int]] = {
    "assay (aiohttp on uvloop)": _gate_client(AiohttpChat()),
    "assay (openai behind the port)": _gate_client(OpenAIChat()),
    BASELINE: _openai_client(openai.DefaultAsyncHttpxClient),
    "openai, aiohttp back end": _openai_client(openai.DefaultAioHttpClient),
    "httpx": _httpx_client,
}


if __name__ == "__main__":
    main()
