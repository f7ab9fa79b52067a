"""Write a labelled data set of the Hugging Face hub as the files that `build.py --data` reads.

    .venv/bin/python examples/emotion/export_hub.py --hub OWNER/NAME --out DIR

Runs in the gate's environment, where the `datasets` library lives; the training environment has
none. The labels of a row are mapped to the task's by `--map` (default: GoEmotions' 28 labels to
Ekman's six and neutral, as its authors group them). A row whose labels fall into more than one
class is left out: there is no single right answer for it.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Demszky et al. (ACL 2020): the authors' own grouping, ekman_mapping.json beside their data.
EKMAN = {
    "anger": ("anger", "annoyance", "disapproval"),
    "disgust": ("disgust",),
    "fear": ("fear", "nervousness"),
    "joy": (
        "joy", "amusement", "approval", "excitement", "gratitude", "love", "optimism", "relief",
        "pride", "admiration", "desire", "caring",
    ),
    "sadness": ("sadness", "disappointment", "embarrassment", "grief", "remorse"),
    "surprise": ("surprise", "realization", "confusion", "curiosity"),
    "neutral": ("neutral",),
}  # fmt: skip
SPLITS = {"train": "train", "validation": "dev"}


def one_class(names: Iterable[str], classes: Mapping[str, Sequence[str]]) -> str | None:
    """Return the one class that all of `names` belong to, or None where they disagree.

    Raises:
        ValueError: A name belongs to no class.
    """
    of_name = {name: label for label, members in classes.items() for name in members}
    found = set()
    for name in names:
        if name not in of_name:
            raise ValueError(
                f"label {name!r} belongs to no class; expected one of {sorted(of_name)}"
            )
        found.add(of_name[name])
    return found.pop() if len(found) == 1 else None


def export(
    hub: str, out: Path, classes: Mapping[str, Sequence[str]], language: str
) -> dict[str, int]:
    """Download data set `hub` and write one JSONL file a split.

    Returns:
        How many rows each file holds.
    """
    import datasets  # 1.2 s to import: not for --help

    loaded: Any = datasets.load_dataset(hub)
    out.mkdir(parents=True, exist_ok=True)
    counts = {}
    for split, short in SPLITS.items():
        rows = loaded[split]
        feature = rows.features["labels"]
        names = getattr(feature, "feature", feature).names
        path = out / f"{hub.rsplit('/', 1)[-1]}_{short}.jsonl"
        count = 0
        with path.open("w", encoding="utf-8") as file:
            for index, row in enumerate(rows):
                numbers = row["labels"] if isinstance(row["labels"], list) else [row["labels"]]
                label = one_class((names[n] for n in numbers), classes)
                if label is None or not row["text"].strip():
                    continue
                record = {
                    "id": f"{short}-{row.get('id', index)}", "text": row["text"], "label": label,
                    "lang": language, "source": hub,
                }  # fmt: skip
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                count += 1
        counts[path.name] = count
    return counts


def main(argv: Sequence[str] | None = None) -> int:
    """Export the data set named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--hub", required=True, help="name of the data set, e.g. owner/name")
    parser.add_argument("--out", required=True, type=Path, help="folder for the JSONL files")
    parser.add_argument("--map", type=Path, help="JSON file: class -> list of the set's labels")
    parser.add_argument("--lang", default="en", help="language code written into each row")
    arguments = parser.parse_args(argv)
    try:
        classes = json.loads(arguments.map.read_text("utf-8")) if arguments.map else EKMAN
        counts = export(arguments.hub, arguments.out, classes, arguments.lang)
    except (OSError, ValueError) as error:
        # No network, no such data set, a label that the map does not know.
        print(f"{arguments.hub}: {error}", file=sys.stderr)
        return 2
    for name, count in counts.items():
        print(f"{arguments.out / name}: {count} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
