"""Times the trusted store against plain hashing and copying: `python bench/store.py [--gib 1.5]`.

Publishes and pulls an artifact of random weights, from a local folder and, with --s3, from a real
S3 server on this machine (whose work is in the clock's seconds, not in the processor's), and times
`sha256sum`, `openssl dgst`, `cp` and model-signing's own verification on the same file in the same
run, all from a warm page cache. Each figure is the median of the rounds; the ratios are what
travels between machines. On a machine that others use too, trust the processor's seconds, not the
clock's. Every pull runs in a process of its own, whose peak of resident memory is reported.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from model_signing import verifying  # noqa: E402

from assay import digests  # noqa: E402
from assay.adapters.signer_model_signing import sign_folder  # noqa: E402
from assay.adapters.store_cache import BlobCache  # noqa: E402
from assay.adapters.store_fsspec import FsspecStore  # noqa: E402
from assay.artifact_checks import check_folder  # noqa: E402
from assay.trust import TrustedKeys  # noqa: E402
from tests import artifact_factory  # noqa: E402
from tests.s3_rig import ENVIRONMENT as S3_ENVIRONMENT  # noqa: E402
from tests.s3_rig import S3Server, s3_server  # noqa: E402

MIB = 2**20
MODEL, VERSION = "bench", "1.0.0"

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


def local_steps(work: Path, name: str) -> dict[str, Cost]:
    """Times one publication to a folder; runs in a process of its own, as all steps do."""
    keys = artifact_factory.make_keys(work, name)
    store = FsspecStore(str(work / "local"), keys.trusted)
    source = work / "source"
    return {
        "hash (digests.of_file)": timed(lambda: digests.of_file(source / "model.safetensors")),
        "checks": timed(lambda: check_folder(source)),
        "publish": timed(lambda: _publish(store, source, keys.private)),
    }


def pull_steps(work: Path, name: str) -> dict[str, Cost]:
    """Times one pull from a folder."""
    store = FsspecStore(str(work / "local"), _keys(work, name))
    return {"pull": timed(lambda: store.pull(MODEL, VERSION, work / "pulled"))}


def s3_steps(work: Path, name: str) -> dict[str, Cost]:
    """Times one pull from S3 into an empty cache, and one more out of it."""
    server = S3Server(os.environ["BENCH_S3"])
    url, folder = f"s3://{os.environ['BENCH_BUCKET']}/store", work / "cache"
    cache = BlobCache(folder, limit_bytes=2**40)
    store = FsspecStore(url, _keys(work, name), storage_options=server.options, cache=cache)
    return {
        "pull from S3": timed(lambda: store.pull(MODEL, VERSION, work / "pulled")),
        "pull from cache": timed(lambda: store.pull(MODEL, VERSION, work / "again")),
    }


STEPS = {"local": local_steps, "pull": pull_steps, "s3": s3_steps}


def _publish(store: FsspecStore, source: Path, private: Path) -> None:
    store.publish(source, model=MODEL, version=VERSION, private_key=private)


def _keys(work: Path, name: str) -> TrustedKeys:
    return artifact_factory.Keys(work / f"{name}.key", work / f"{name}.pub").trusted


def timed(work: Callable[[], object]) -> Cost:
    """Returns what something cost."""
    began, used = time.perf_counter(), processor_s()
    work()
    return time.perf_counter() - began, processor_s() - used


def processor_s() -> float:
    """Returns the processor time of this process and its ended children, in seconds."""
    return sum(os.times()[:4])


def peak_bytes() -> int:
    """Returns the peak of this process's resident memory.

    Not `getrusage`: its figure includes what the parent had when this process was started.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


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
    folder, signature = weights.parent, work / "yard.sig"
    sign_folder(folder, signature, keys.private)
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=keys.public)
    figures["model-signing"] = timed(lambda: verifier.verify(folder, signature))
    return figures


def main() -> int:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where to work")
    parser.add_argument("--s3", action="store_true", help="pull from S3 too (slow: the server is)")
    parser.add_argument("--step", choices=STEPS, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--name", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step is not None:
        figures = STEPS[arguments.step](arguments.folder, arguments.name)
        print(json.dumps({"figures": figures, "peak_bytes": peak_bytes()}))
        return 0
    with (
        tempfile.TemporaryDirectory(dir=arguments.folder, prefix="assay-bench-") as name,
        s3_server(Path(name) / "s3") if arguments.s3 else nullcontext() as server,
    ):
        work = Path(name)
        source = write_artifact(work / "source", int(arguments.gib * 2**30))
        weights = source / "model.safetensors"
        rounds = [one_round(work, weights, number, server) for number in range(arguments.rounds)]
        report([one[0] for one in rounds], [one[1] for one in rounds], weights.stat().st_size)
    return 0


def one_round(
    work: Path, weights: Path, number: int, server: S3Server | None
) -> tuple[dict[str, Cost], dict[str, int]]:
    """Times the yardsticks and the store once; returns costs, and peaks of memory in bytes."""
    costs, peaks = yardsticks(work, weights), {}
    environment = os.environ | S3_ENVIRONMENT | {"TMPDIR": str(work)}
    for step in STEPS:
        if step == "s3":
            if server is None:
                break
            bucket = server.bucket()
            environment |= {"BENCH_S3": server.url, "BENCH_BUCKET": bucket}
            server.files().put(str(work / "local/"), f"{bucket}/store", recursive=True)
        words = {"--step": step, "--folder": str(work), "--name": f"round{number}"}
        done = subprocess.run(
            [sys.executable, __file__, *(word for pair in words.items() for word in pair)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        answer = json.loads(done.stdout)
        costs |= answer["figures"]
        peaks[step] = answer["peak_bytes"]
        for folder in ("pulled", "again", "cache"):
            shutil.rmtree(work / folder, ignore_errors=True)
    shutil.rmtree(work / "local")
    return costs, peaks


def report(rounds: list[dict[str, Cost]], peaks: list[dict[str, int]], size: int) -> None:
    """Prints medians and ratios."""
    median = {
        key: tuple(statistics.median(one[key][kind] for one in rounds) for kind in (0, 1))
        for key in rounds[0]
    }
    base = "openssl dgst" if "openssl dgst" in median else "sha256sum"
    print(f"{size / 2**30:.2f} GiB, median of {len(rounds)}, warm cache, {os.cpu_count()} cores")
    print(f"{'step':<24}{'clock s':>9}{'x':>7}{'cpu s':>9}{'x':>7}   (x {base})")
    for name, (clock, used) in median.items():
        ratios = clock / median[base][0], used / median[base][1]
        print(f"{name:<24}{clock:>9.3f}{ratios[0]:>7.2f}{used:>9.3f}{ratios[1]:>7.2f}")
    floor = median["cp"][1] + median[base][1] + median["model-signing"][1]
    print(f"pull / (cp + {base} + model-signing), cpu: {median['pull'][1] / floor:.2f}")
    kinds = {"local": "a publication", "pull": "a pull from a folder", "s3": "two pulls from S3"}
    for step in peaks[0]:
        print(f"peak memory of {kinds[step]}: {max(one[step] for one in peaks) / MIB:.0f} MiB")


if __name__ == "__main__":
    sys.exit(main())
