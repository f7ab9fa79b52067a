"""Prove that the training text and the golden cases have nothing in common.

    .venv/bin/python examples/emotion/overlap.py --rows MODELS/.build

Runs in the gate's environment. What counts as the same text is `assay.near_duplicates`' to say;
this decides what is compared (every row a model saw or was tuned on, with every case and probe) and
how it is told: pairs are named by id, no text is printed. Exit code 0: nothing in common; 1: pairs
found; 2: the files cannot be read.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ConfigDict

from assay.documents import Document, read_jsonl
from assay.errors import ConfigError
from assay.near_duplicates import find_leaks

ROOT = Path(__file__).resolve().parents[2]


class Row(Document):
    """What is compared of a row; its other fields are not looked at."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    text: str


def read_texts(paths: Sequence[Path]) -> dict[str, str]:
    """Read id -> text from JSONL files and folders of them.

    Raises:
        ConfigError: There is nothing to read, a line is no row, or an id stands twice.
    """
    texts: dict[str, str] = {}
    for path in paths:
        files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        for file in files:
            for number, row in read_jsonl(file, Row):
                if row.id in texts:
                    raise ConfigError(
                        f"{file}:{number}: id {row.id!r} stands twice; expected one row an id; "
                        "rename one of them"
                    )
                texts[row.id] = row.text
    if not texts:
        raise ConfigError(
            f"{', '.join(map(str, paths))}: no rows, so nothing was compared; expected *.jsonl "
            "files; build the models first"
        )
    return texts


def main(argv: Sequence[str] | None = None) -> int:
    """Compare the two sets named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", required=True, nargs="+", type=Path, help="training text")
    parser.add_argument(
        "--golden",
        nargs="+",
        type=Path,
        default=[ROOT / "golden_data" / "cases", ROOT / "golden_data" / "probes"],
        help="what must not be in it (default: this project's cases and probes)",
    )
    arguments = parser.parse_args(argv)
    try:
        rows, golden = read_texts(arguments.rows), read_texts(arguments.golden)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    leaks = find_leaks(rows, golden)
    for leak in leaks:
        print(f"{leak.first}\t{leak.second}\t{leak.similarity:.0f}")
    cases = len({leak.first for leak in leaks})
    found = f"{cases} of them have a twin; reword the training text" if leaks else "no twins"
    print(f"{len(rows)} training texts, {len(golden)} golden texts: {found}", file=sys.stderr)
    return 1 if leaks else 0


if __name__ == "__main__":
    sys.exit(main())
