"""Turn labelled rows into a golden file: the dev split of a data set becomes what a gate asks.

    .venv/bin/python examples/emotion/golden_from_rows.py ROWS.jsonl GOLDEN.jsonl

Runs in the gate's environment. Rows need `id`, `text`, `label`, `lang` and `source`, as the files
of the GoEmotions layout have. A text that says the same as an earlier one (after normalisation) is
left out, because a golden set may ask each thing once; how many were left out is printed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from assay.documents import read_jsonl
from assay.errors import ConfigError
from assay.evidence import write_jsonl
from assay.near_duplicates import same_text_key


class LabelledRow(BaseModel):
    """A labelled row; further fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str = Field(min_length=1)
    text: str = Field(min_length=1)
    label: str = Field(min_length=1)
    lang: str = Field(min_length=2)
    source: str = Field(min_length=1)


def golden_rows(path: Path, added_in: str) -> tuple[list[dict[str, object]], int]:
    """Returns golden rows in the file's order, and how many duplicates were left out."""
    kept: dict[str, dict[str, object]] = {}
    duplicates = 0
    for _, row in read_jsonl(path, LabelledRow):
        key = same_text_key(row.text)
        if key in kept:
            duplicates += 1
            continue
        kept[key] = row.model_dump() | {"stratum": "core", "slices": [], "added_in": added_in}
    return list(kept.values()), duplicates


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the golden file; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("golden", type=Path)
    parser.add_argument("--added-in", default="1.0.0")
    chosen = parser.parse_args(arguments)
    try:
        rows, duplicates = golden_rows(chosen.rows, chosen.added_in)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    write_jsonl(chosen.golden, rows)
    print(f"{chosen.golden}: {len(rows)} cases; {duplicates} duplicates left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
