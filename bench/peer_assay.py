"""The gate's own load generator as a process of its own, for comparison with its peers.

    python -m bench.peer_assay run.json

Everything a load test does to a request is done here too: it is built, sent, checked and kept.
Reads a `bench.peers.Run`, and writes `times.json` beside it.
"""

import json
import sys
from pathlib import Path
from typing import Any

from assay.adapters.load_aiohttp import AiohttpLoad
from assay.load import arrivals
from assay.load.samples import TimedRequest
from assay.ports import LoadPlan, Question
from assay.records import Endpoint
from assay.task import Decoding


def _plan(run: dict[str, Any]) -> LoadPlan:
    decoding = Decoding(mode="free")
    prompts = Path(run["prompts"]).read_text().splitlines()
    questions = [
        Question(
            case_id=f"c{number}",
            messages=[{"role": "user", "content": json.loads(prompt)["prompt"]}],
            choices=None,
            decoding=decoding,
        )
        for number, prompt in enumerate(prompts)
    ]
    rate = run["rate_per_s"]
    return LoadPlan(
        questions=questions,
        starts_s=None if rate is None else arrivals.constant(rate, run["requests"] / rate),
        most_in_flight=run["concurrency"] or 1024,
        request_timeout_s=30.0,
        requests=run["requests"] if rate is None else None,
    )


def main() -> None:
    """Runs one load."""
    path = Path(sys.argv[1])
    run = json.loads(path.read_text())
    done: list[TimedRequest] = []
    endpoint = Endpoint(base_url=run["url"], model=run["model"])
    report = AiohttpLoad().run(endpoint, _plan(run), done.append, run_id="bench")
    failed = [request.error_kind for request in done if not request.ok]
    if failed or report.stopped:
        raise SystemExit(f"{len(failed)} of {len(done)} failed: {failed[:3]} {report.stopped}")
    times = {
        "ttft_ms": [request.ttft_ms for request in done],
        "lag_ms": [request.lag_ms for request in done],
    }
    path.with_name("times.json").write_text(json.dumps(times))


if __name__ == "__main__":
    main()
