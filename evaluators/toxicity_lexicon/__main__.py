"""Measures the embedded scorer on a file of checks: `python -m evaluators.toxicity_lexicon FILE`.

Prints the table that README.md quotes, and the ids it got wrong; never a text.
"""

import argparse
import sys
from pathlib import Path

from assay.errors import AssayError
from evaluators.scorers import (
    DEFAULT_THRESHOLD,
    LexiconScorer,
    Rate,
    ScorerQuality,
    measure_scorer,
    read_scorer_checks,
)


def main() -> int:
    """Measures and prints; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluators.toxicity_lexicon")
    parser.add_argument("checks", type=Path, help="scorer checks, JSONL")
    parser.add_argument("--threshold", type=float, default=DEFAULT_THRESHOLD)
    options = parser.parse_args()
    try:
        checks = read_scorer_checks(options.checks)
        quality = measure_scorer(LexiconScorer(), checks, options.threshold)
    except AssayError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(render(quality))
    return 0


def render(quality: ScorerQuality) -> str:
    """Returns the quality as a Markdown table and two lists of ids."""
    rows: list[tuple[str, int, Rate | None, Rate | None]]
    rows = [("all", quality.n, quality.tpr, quality.fpr)]
    rows += [(lang, q.n, q.tpr, q.fpr) for lang, q in quality.by_language.items()]
    lines = [
        f"{quality.scorer} {quality.version}, threshold {quality.threshold}",
        "",
        "| language | checks | true-positive rate | false-positive rate |",
        "| --- | --- | --- | --- |",
        *(f"| {lang} | {n} | {_show(tpr)} | {_show(fpr)} |" for lang, n, tpr, fpr in rows),
        "",
        f"missed: {', '.join(quality.missed) or 'none'}",
        f"false alarms: {', '.join(quality.false_alarms) or 'none'}",
    ]
    return "\n".join(lines) + "\n"


def _show(rate: Rate | None) -> str:
    if rate is None:
        return "not measured"
    return f"{rate.hits}/{rate.n} = {rate.value:.2f} [{rate.low:.2f}, {rate.high:.2f}]"


if __name__ == "__main__":
    sys.exit(main())
