"""Memory and disk of a soak: requests fed straight to what counts and keeps them.

    python -m bench.load_soak [--requests 10000000] [--folder FOLDER]

Each request has five tokens and log-normal times. Prints a line for each tenth: memory must stay
flat once the times have been folded into sketches. Ends with the error of each percentile against
the exact order statistic of a second, seeded pass.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from assay.adapters.load_files import open_requests
from assay.load.named_profiles import named_profile
from assay.load.samples import GeneratorRun, TimedRequest
from assay.load.summary import SHARES, Tally
from assay.records import AnswerStatus

_CHUNK = 100_000
_RATE = 100.0


def main() -> None:
    """Feeds the requests and prints what they took."""
    parser = argparse.ArgumentParser(prog="python -m bench.load_soak")
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="of the file; a temporary one if not given")
    options = parser.parse_args()
    tally = Tally(named_profile("soak-full"))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "requests.jsonl"
        with open_requests(path) as file:
            for request in _requests(options.requests):
                tally.add(request)
                file(request)
                if tally.requests % (options.requests // 10) == 0:
                    _print(f"{tally.requests:>12,} requests  {_resident_mib():>6.0f} MiB resident")
        size = path.stat().st_size
    took = time.monotonic() - began
    _print(f"{size / 2**30:.2f} GiB on disk, {took / options.requests * 1e6:.1f} µs a request")
    run = GeneratorRun(
        planned=None, sent=options.requests, wall_s=took, cpu_s=took, most_in_flight=1
    )
    found = tally.summary(run).times["ttft"]
    exact = np.sort(np.concatenate([times for times in _times(options.requests)]))
    for share, percentile in zip(SHARES, found.percentiles, strict=True):
        truth = float(exact[int(np.ceil(share * len(exact))) - 1])
        error = abs(percentile.value / truth - 1)
        _print(f"p{100 * share:g}: {percentile.value:.2f} ms, {error:.3%} from {truth:.2f} ms")
        assert error <= found.relative_error + 1e-9


def _times(count: int) -> Iterator[np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Yields the times to the first token in chunks, the same at each call."""
    rng = np.random.default_rng(1)
    for start in range(0, count, _CHUNK):
        yield rng.lognormal(4, 0.7, min(_CHUNK, count - start))


def _requests(count: int) -> Iterator[TimedRequest]:
    index = 0
    for chunk in _times(count):
        for ttft_ms in chunk.tolist():
            start = index / _RATE
            first = start + ttft_ms / 1e3
            yield TimedRequest(
                index=index, case_id=f"c{index % 2000}", request_id=f"load-{index}",
                intended_s=start, started_s=start, first_token_s=first, ended_s=first + 0.04,
                gaps_ms=(10.0, 9.0, 11.0, 10.0), prompt_tokens=40, completion_tokens=5,
                status=AnswerStatus.OK,
            )  # fmt: skip
            index += 1


def _resident_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
