"""The same prompts at the same rate on real vLLM: what each load generator says of it.

    python -m bench.load_vllm [--model FOLDER] [--rate 8] [--requests 160] [--rounds 2]

There is no truth to hold the figures against here, only the engine's own `/metrics`: its mean time
to the first token over each run is beside the mean that the client saw. Engine and client have a
core each; prefix caching is off, so that nobody gains from whoever asked before.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.load import machine
from bench.load_rig import ROOT, engine_core, prefer, watched
from bench.peers import AIOHTTP, KINDS, SERVING, Run, peers

MODEL = Path.home() / ".cache/assay-tests/emotion-demo/1.0.0"
NAME = "demo"
MAX_TOKENS = 16
START_S = 420.0
SHARES = (50, 90, 99)


@contextmanager
def vllm(model: Path, log: Path, *, preferred: bool) -> Iterator[tuple[str, int]]:
    """Serves a model on the engine's core; yields its address and process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [
        *(str(SERVING / "bin/python"), "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(model), "--served-model-name", NAME, "--host", "127.0.0.1"),
        *("--port", str(port), "--dtype", "bfloat16", "--max-model-len", "1024"),
        *("--max-num-seqs", "64", "--enforce-eager", "--no-enable-prefix-caching"),
    ]
    settings = {
        "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": str(engine_core()),
    }  # fmt: skip
    with log.open("w") as sink:
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, stdout=sink, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    os.sched_setaffinity(process.pid, {engine_core()})
    if preferred:
        prefer(process.pid)
    try:
        _wait(process, url, log)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(60)


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):  # noqa: S310 - 127.0.0.1
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise SystemExit(f"vLLM did not start: {log.read_text(errors='replace')[-1500:]}")


def memory_gib(pid: int) -> float:
    """Returns the memory that a process and its children have for themselves, in GiB."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return round(sum(process.memory_full_info().uss for process in family) / 2**30, 2)


def server_ttft(url: str) -> tuple[float, float]:
    """Returns the sum in ms and the count of times to the first token, by the engine itself."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:  # noqa: S310
        text = answer.read().decode()
    found = []
    for part in ("sum", "count"):
        pattern = rf"^vllm:time_to_first_token_seconds_{part}\{{.*\}} (\S+)$"
        found.append(sum(map(float, re.findall(pattern, text, re.MULTILINE))))
    return found[0] * 1e3, found[1]


def study(url: str, model: Path, options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Runs every generator in turn, round by round."""
    prompts = folder / "prompts.jsonl"
    cases = (ROOT / "golden_data/golden.jsonl").read_text().splitlines()[: options.requests]
    prompts.write_text("\n".join(json.dumps({"prompt": json.loads(c)["text"]}) for c in cases))
    rows: list[dict[str, Any]] = []
    for number in range(options.rounds + 1):
        for peer in peers():
            if peer.name.startswith(AIOHTTP) or peer.missing() is not None:
                continue
            run = Run(
                url=url, model=NAME, requests=len(cases), concurrency=None,
                rate_per_s=options.rate, prompts=prompts, tokenizer=model, max_tokens=MAX_TOKENS,
                folder=Path(tempfile.mkdtemp(dir=folder)),
            )  # fmt: skip
            before = server_ttft(url)
            watched(
                peer.command(run), peer.environment(), run.folder, 300, preferred=options.preferred
            )
            after = server_ttft(url)
            times = peer.times_ms(run)
            row = {"client": peer.name, "answers": len(times["ttft"])}
            row |= {
                f"{kind}_p{share}": round(float(np.percentile(times[kind], share)), 2)
                for kind in KINDS
                for share in SHARES
                if len(times[kind])
            }
            row["ttft_mean"] = round(float(times["ttft"].mean()), 2)
            engine_ms, engine_n = after[0] - before[0], after[1] - before[1]
            row["engine_answers"] = int(engine_n)
            row["engine_ttft_mean"] = round(engine_ms / engine_n, 2) if engine_n else None
            sys.stdout.write(f"{row}\n")
            sys.stdout.flush()
            if number == 0:  # warms the engine up, for which one client is enough
                break
            rows.append(row)
    return rows


def main() -> None:
    """Runs the comparison, prints and stores it."""
    parser = argparse.ArgumentParser(prog="python -m bench.load_vllm")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--rate", type=float, default=8.0)
    parser.add_argument("--requests", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--preferred", action="store_true", help="ahead of the machine's work")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/load_vllm.json")
    options = parser.parse_args()
    if not options.model.exists():
        raise SystemExit(f"{options.model}: no model; make one with `make models OUT=...`")
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        with vllm(options.model, Path(folder) / "vllm.log", preferred=options.preferred) as (
            url,
            pid,
        ):
            idle_gib = memory_gib(pid)
            rows = study(url, options.model, options, Path(folder))
        missing = {peer.name: why for peer in peers() if (why := peer.missing()) is not None}
    result = {
        "machine": machine(), "preferred": options.preferred, "rate_per_s": options.rate,
        "max_tokens": MAX_TOKENS, "idle_engine_gib": idle_gib, "missing": missing, "rows": rows,
    }  # fmt: skip
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
