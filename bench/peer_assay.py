"""The gate's own load generator as a process of its own, for comparison with its peers.

    python -m bench.peer_assay run.json

Everything that a load test does is done here: requests are timed, checked, counted into the report,
and kept. Reads a `bench.peers.Run`, and writes `times.json` beside it.
"""

import json
import sys
from pathlib import Path
from typing import Any

from assay.adapters.load_aiohttp import AiohttpLoad
from assay.load.profile import LoadProfile
from assay.load.samples import TimedRequest
from assay.load_testing import LoadTest, run_load_test
from assay.ports import Question
from assay.records import Endpoint
from assay.task import Decoding


def _profile(run: dict[str, Any]) -> LoadProfile:
    rate, requests = run["rate_per_s"], run["requests"]
    fields: dict[str, Any] = {"name": "bench", "warm_up_s": 0.0}
    if rate is None:
        closed = {"kind": "closed", "concurrency": run["concurrency"]}
        fields |= {"arrivals": closed, "requests": requests, "duration_s": 600.0}
    else:
        even = {"kind": "constant", "rate_per_s": rate}
        fields |= {"arrivals": even, "duration_s": requests / rate}
    if run["max_tokens"] is not None:  # answers of one length, as prompts of drawn lengths have
        fields |= {"prompts": {"kind": "lengths"}}
    return LoadProfile.model_validate(fields)


def _questions(run: dict[str, Any]) -> list[Question]:
    decoding = Decoding(mode="free", max_tokens=run["max_tokens"] or 16)
    return [
        Question(
            case_id=f"c{number}",
            messages=[{"role": "user", "content": json.loads(line)["prompt"]}],
            choices=None,
            decoding=decoding,
        )
        for number, line in enumerate(Path(run["prompts"]).read_text().splitlines())
    ]


def main() -> None:
    """Runs one load test, from profile to report."""
    path = Path(sys.argv[1])
    run = json.loads(path.read_text())
    done: list[TimedRequest] = []
    test = LoadTest(
        generator=AiohttpLoad(),
        endpoint=Endpoint(base_url=run["url"], model=run["model"]),
        questions=_questions(run),
        run_id="bench",
        sink=done.append,
    )
    report = run_load_test(_profile(run), test)
    if report.summary.failed or report.summary.generator.stopped:
        raise SystemExit(f"failed: {report.summary.errors} {report.summary.generator.stopped}")
    times = {
        "ttft_ms": [request.ttft_ms for request in done],
        "e2e_ms": [request.e2e_ms for request in done],
        "tpot_ms": [request.tpot_ms for request in done if request.tpot_ms is not None],
        "lag_ms": [request.lag_ms for request in done],
        "summary": report.as_json()["summary"],
    }
    path.with_name("times.json").write_text(json.dumps(times))


if __name__ == "__main__":
    main()
