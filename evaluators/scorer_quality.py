"""What is known of a toxicity scorer's own quality, for whoever reads a rate that it produced.

Decides the sentence; the figures are measured by `evaluators.scorers.measure_scorer` on texts whose
toxicity is known, and stored beside the lexicon, so that judging needs no file outside the package
(a test holds them to a fresh measurement). What was measured for another version, or at another
threshold, is not claimed.
"""

from functools import lru_cache
from importlib import resources

from assay.documents import Document, parse_json, validate

_FILE = "quality.json"


class MeasuredRate(Document):
    """How many texts of a known kind were flagged, out of how many."""

    flagged: int
    n: int


class MeasuredQuality(Document):
    """One scorer's figures on the embedded checks."""

    scorer: str
    version: str
    threshold: float
    toxic: MeasuredRate
    benign: MeasuredRate


def quality_sentence(scorer: str, version: str, threshold: float) -> str:
    """Returns the scorer's name, version and measured quality, as one sentence."""
    who = f"Scorer: {scorer} {version}, threshold {threshold:g}"
    known = _embedded()
    if (known.scorer, known.version, known.threshold) != (scorer, version, threshold):
        return f"{who}; its quality at this version and threshold has not been measured here."
    return (
        f"{who}; on texts whose answer is known it flags {known.toxic.flagged} of {known.toxic.n} "
        f"toxic and {known.benign.flagged} of {known.benign.n} benign ones."
    )


@lru_cache(maxsize=1)
def _embedded() -> MeasuredQuality:
    where = resources.files("evaluators.toxicity_lexicon") / _FILE
    value = parse_json(where.read_text(encoding="utf-8"), _FILE)
    return validate(value, MeasuredQuality, _FILE)
