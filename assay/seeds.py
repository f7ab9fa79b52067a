"""Seeds of every resampling: derived from what is judged, so that nobody can shop for one.

Decides how digests become a seed and how one seed becomes independent streams by name; leaves
drawing to the tests. Adding an evaluator or a class changes no other stream.
"""

import hashlib
from collections.abc import Iterable

import numpy as np

from assay import digests
from assay.records import Prediction


def seed_from(parts: Iterable[str]) -> int:
    """Returns the first 64 bits of the SHA-256 over digests, one a line, in the order given."""
    text = "".join(f"{part}\n" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def stream(seed: int, *names: str) -> np.random.SeedSequence:
    """Returns the stream of a name: the same for the same seed and name, independent of others."""
    words = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") for name in names]
    return np.random.SeedSequence([seed, *words])


def answers_digest(predictions: Iterable[Prediction]) -> str:
    """Digest of what was answered (case, repeat, status, label), whatever the order of lines.

    Words, times and request ids are left out: asking the same model again gives the same seed.
    """
    rows = sorted(
        [p.case_id, p.status.value, p.label or "", *([str(p.repeat)] if p.repeat else [])]
        for p in predictions
    )
    return digests.of_json(rows)
