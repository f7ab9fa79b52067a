"""Times the trusted store against plain hashing and copying: `python bench/store.py [--gib 1.5]`.

Publishes and pulls an artifact of random weights from a local folder, and times `sha256sum`,
`openssl dgst`, `cp` and model-signing's own verification on the same file in the same run, all from
a warm page cache. Each figure is the median of the rounds; the ratios are what travels between
machines. On a machine that others use too, trust the processor's seconds, not the clock's. The
store runs in a process of its own, whose peak of resident memory is reported.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from assay.adapters.signer_model_signing import sign_folder  # noqa: E402
from assay.adapters.store_fsspec import FsspecStore  # noqa: E402
from assay.artifact_checks import check_folder  # noqa: E402
from tests import artifact_factory  # noqa: E402

MIB = 2**20
MODEL = "bench"

Cost = tuple[float, float]
"""Seconds by the clock, seconds of processor time (own and children's)."""


def write_artifact(folder: Path, size: int) -> Path:
    """Writes an artifact whose embedding holds about `size` random bytes, a piece at a time."""
    artifact_factory.make_artifact(folder)
    rows = size // (2 * artifact_factory.HIDDEN)
    arrays = artifact_factory.tensors()
    arrays.pop("model.embed_tokens.weight")
    name, shape = "model.embed_tokens.weight", [rows, artifact_factory.HIDDEN]
    small = artifact_factory.header_bytes(arrays, {"format": "pt"})
    filler = rows * 2 * artifact_factory.HIDDEN
    for key, entry in small.items():
        if key != "__metadata__":
            entry["data_offsets"] = [at + filler for at in entry["data_offsets"]]
    small[name] = {"dtype": "F16", "shape": shape, "data_offsets": [0, filler]}
    header = json.dumps(small).encode()
    random = np.random.default_rng(0)
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        for start in range(0, filler, 16 * MIB):
            stream.write(random.bytes(min(16 * MIB, filler - start)))
        for array in arrays.values():
            stream.write(array.tobytes())
    config = artifact_factory.config(vocab_size=rows)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def store_steps(work: Path, round_number: int) -> dict[str, Cost]:
    """Times one publication and one pull; runs in a process of its own."""
    keys = artifact_factory.make_keys(work, f"round{round_number}")
    store = FsspecStore(str(work / f"store{round_number}"), keys.trusted)
    source, pulled = work / "source", work / f"pulled{round_number}"
    version = "1.0.0"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures = {
        "checks": timed(lambda: check_folder(source)),
        "publish": timed(
            lambda: store.publish(source, model=MODEL, version=version, private_key=keys.private)
        ),
        "pull": timed(lambda: store.pull(MODEL, version, pulled)),
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return figures | {"peak_bytes": (peak, before)}


def timed(work: Callable[[], object]) -> Cost:
    """Returns what something cost."""
    began, used = time.perf_counter(), processor_s()
    work()
    return time.perf_counter() - began, processor_s() - used


def processor_s() -> float:
    """Returns the processor time of this process and its ended children, in seconds."""
    return sum(os.times()[:4])


def command(*words: str | Path) -> Cost:
    """Returns what a command cost."""
    return timed(lambda: subprocess.run(words, check=True, stdout=subprocess.DEVNULL))


def yardsticks(work: Path, weights: Path) -> dict[str, Cost]:
    """Times what the store is held against, on the same file."""
    figures = {"sha256sum": command("sha256sum", weights)}
    if shutil.which("openssl"):
        figures["openssl dgst"] = command("openssl", "dgst", "-sha256", weights)
    figures["cp"] = command("cp", weights, work / "copy")
    os.unlink(work / "copy")
    keys = artifact_factory.make_keys(work, f"yard{time.monotonic_ns()}")
    folder = weights.parent
    figures["model-signing"] = timed(lambda: sign_folder(folder, work / "yard.sig", keys.private))
    return figures


def main() -> int:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where to work")
    parser.add_argument("--step", type=int, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step is not None:
        print(json.dumps(store_steps(arguments.folder, arguments.step)))
        return 0
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="assay-bench-") as name:
        work = Path(name)
        source = write_artifact(work / "source", int(arguments.gib * 2**30))
        weights = source / "model.safetensors"
        rounds = [one_round(work, weights, number) for number in range(arguments.rounds)]
        report(rounds, weights.stat().st_size)
    return 0


def one_round(work: Path, weights: Path, number: int) -> dict[str, Cost]:
    """Times the yardsticks and the store once."""
    figures = yardsticks(work, weights)
    done = subprocess.run(
        [sys.executable, __file__, "--step", str(number), "--folder", str(work)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"TMPDIR": str(work)},
    )
    shutil.rmtree(work / f"store{number}")
    shutil.rmtree(work / f"pulled{number}")
    return figures | json.loads(done.stdout)


def report(rounds: list[dict[str, Cost]], size: int) -> None:
    """Prints medians and ratios."""
    peak, before = rounds[0].pop("peak_bytes")
    median = {
        key: tuple(statistics.median(one[key][kind] for one in rounds) for kind in (0, 1))
        for key in rounds[0]
    }
    base = "openssl dgst" if "openssl dgst" in median else "sha256sum"
    print(f"{size / 2**30:.2f} GiB, median of {len(rounds)}, warm cache, {os.cpu_count()} cores")
    print(f"{'step':<16}{'clock s':>9}{'x':>7}{'cpu s':>9}{'x':>7}   (x {base})")
    for name, (clock, used) in median.items():
        ratios = clock / median[base][0], used / median[base][1]
        print(f"{name:<16}{clock:>9.3f}{ratios[0]:>7.2f}{used:>9.3f}{ratios[1]:>7.2f}")
    floor = median["cp"][1] + median[base][1] + median["model-signing"][1]
    print(f"pull / (cp + {base} + model-signing), cpu: {median['pull'][1] / floor:.2f}")
    print(f"peak memory {peak / MIB:.0f} MiB, {before / MIB:.0f} MiB of it before the first step")


if __name__ == "__main__":
    sys.exit(main())
