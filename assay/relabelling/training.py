"""What a model was trained on: text that is at hand, or a salted sketch of it.

Decides when a text counts as seen; leaves what follows to `admission`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from assay.near_duplicates import SIMILAR, words_key
from assay.relabelling.similar_texts import near_pairs
from assay.relabelling.sketches import Sketch


class TrainingText:
    """Training text itself: seen is what it repeats exactly, or nearly.

    Args:
        name: where it comes from, for the report.
        texts: the texts.
        similar: edit ratio, 0 to 100, from which two texts count as one.
    """

    def __init__(self, name: str, texts: Iterable[str], similar: float = SIMILAR) -> None:
        self._name, self._similar = name, similar
        self._keys = dict.fromkeys(words_key(text) for text in texts)

    def seen(self, folded: Sequence[str]) -> Sequence[str | None]:
        """Returns where each folded text was seen."""
        fresh = list(dict.fromkeys(key for key in folded if key not in self._keys))
        first_new = len(self._keys)
        keys = [*self._keys, *fresh]
        near = {
            keys[high]
            for low, high in near_pairs(keys, first_new=first_new, similar=self._similar)
            if low < first_new
        }
        return [
            f"equal in {self._name}"
            if key in self._keys
            else f"nearly equal in {self._name}"
            if key in near
            else None
            for key in folded
        ]


@dataclass(frozen=True, slots=True)
class TrainingSketch:
    """A sketch of training text, and the salt it was made with."""

    name: str
    sketch: Sketch
    salt: bytes
    similarity: float

    def seen(self, folded: Sequence[str]) -> Sequence[str | None]:
        """Returns where each folded text was seen."""
        found = self.sketch.seen(folded, self.salt, self.similarity)
        return [f"in sketch {self.name}" if hit else None for hit in found]
