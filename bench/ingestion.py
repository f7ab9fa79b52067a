"""Times `assay golden ingest` on a million rows: `python -m bench.ingestion [--rows 1000000]`.

Writes a flat export of made-up texts, three people's answers each, one answer a line, some texts
nearly repeated and some with personal data, and ingests it as a user does: the command, in a
process of its own, redaction, near-duplicates, agreement and Great Expectations included. Says
seconds by the clock, seconds of processor time, and the peak of resident memory, and fails where
the promise (300 s, 2 GB, per million rows on two cores) is broken. On a machine that others use
too, trust the processor's seconds.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LABELS = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
PEOPLE = 40
SECONDS, GIGABYTES = 300.0, 2.0
COMMAND = "from assay.cli import main; raise SystemExit(main())"
POLICY = "schema_version: 1\nquestion: emotion\n"


def texts(chance: random.Random) -> Iterator[str]:
    """Yields texts of 6 to 18 made-up words; one in 50 nearly repeats another, one in 50 leaks."""
    words = [
        "".join(chance.choices("aeioulmnrstbcdgk", k=chance.randint(2, 9))) for _ in range(20000)
    ]
    before = ""
    while True:
        kind = chance.random()
        text = " ".join(chance.choices(words, k=chance.randint(6, 18)))
        if kind < 0.02 and before:
            text = before[:-1] + "x"
        elif kind < 0.04:
            text += f" mail {chance.choice(words)}@example.org or 09{chance.randrange(10**8):08}"
        before = text
        yield text


def write_export(path: Path, rows: int) -> None:
    """Writes the export; its only randomness is seeded."""
    chance = random.Random(0)  # noqa: S311 - made-up texts, no secret
    made = texts(chance)
    with path.open("w", encoding="utf-8") as stream:
        for number in range(rows):
            case, person = divmod(number, 3)
            if person == 0:
                text, label = next(made), chance.choice(LABELS)
                people = chance.sample(range(PEOPLE), 3)
            row = {
                "id": f"t-{case:07}",
                "text": text,
                "lang": "en",
                "source": "feedback",
                "selection": "random" if case % 5 == 0 else "low_confidence",
                "annotator": f"person {people[person]}",
                "label": label if chance.random() < 0.9 else chance.choice(LABELS),
                "at": f"2026-11-{1 + case % 28:02}T12:{number % 60:02}:{number // 60 % 60:02}Z",
                "lead_time_s": round(chance.uniform(0.5, 20), 2),
                "shown": chance.choice(LABELS),
            }
            stream.write(json.dumps(row) + "\n")


def ingest(folder: Path, export: Path) -> dict[str, object]:
    """Runs the command, and returns what it cost and found."""
    policy = folder / "relabel.yaml"
    policy.write_text(POLICY)
    given = ["--policy", str(policy), "--out", str(folder / "proposal"), "--json"]
    golden = ["--golden", str(ROOT / "golden_data" / "golden.jsonl")]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "golden", "ingest", str(export), *golden, *given],
        cwd=ROOT,
        env=os.environ | {"ASSAY_HOME": str(folder / "home")},
        stdout=subprocess.PIPE,
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode not in (0, 10):
        raise SystemExit(f"assay golden ingest ended with {done.returncode}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = json.loads(done.stdout)
    return {
        "rows": said["export"]["rows"],
        "cases": said["cases"],
        "reasons": said["reasons"],
        "seconds": round(seconds, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_gigabytes": round(used.ru_maxrss * 1024 / 1e9, 2),
        "load_average": round(os.getloadavg()[0], 1),
    }


def main() -> int:
    """Measures, prints one JSON document, and returns 1 where the promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, help="Where the figures are kept.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as name:
        folder = Path(name)
        export = folder / "export.jsonl"
        write_export(export, given.rows)
        found = ingest(folder, export)
    text = json.dumps(found, indent=2) + "\n"
    print(text, end="")
    if given.out:
        given.out.write_text(text)
    slow = float(str(found["processor_seconds"])) > SECONDS
    large = float(str(found["peak_gigabytes"])) > GIGABYTES
    return int(slow or large)


if __name__ == "__main__":
    sys.exit(main())
