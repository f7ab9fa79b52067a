"""Salted sketches of training text, for training data that may not be shared.

Decides what a sketch holds: an HMAC of each folded text, which tells an equal one, and a MinHash
signature of one byte a value under a salted choice of hash functions, which tells a similar one.
Without the salt neither can be computed for a guess, so whoever holds the file alone cannot ask it.

A signature byte agrees by chance once in 256, so the share that agrees is about the Jaccard
similarity of the two texts' 4-grams (Li and König, 2010, b-bit minwise hashing).
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from assay.documents import Document, parse_json, validate
from assay.errors import ConfigError
from assay.near_duplicates import SHORTEST_FUZZY, words_key
from assay.relabelling.similar_texts import BANDS, ROWS, SIGNATURE, signatures

VERSION = 1
Bytes = NDArray[np.uint8]


class SketchRow(Document):
    """One line of a sketch: `key` is an HMAC-SHA-256, `signature` base64; short texts have none."""

    key: str = Field(pattern="^[0-9a-f]{64}$")
    signature: str | None = None


class SketchHead(Document):
    """The first line of a sketch. `salt_id` tells the salt apart, without telling it."""

    sketch: int = Field(ge=VERSION, le=VERSION)
    salt_id: str
    rows: int = Field(ge=0)


def salt_id(salt: bytes) -> str:
    """Returns what names a salt."""
    return hmac.new(salt, b"salt id", hashlib.sha256).hexdigest()[:16]


def write_sketch(texts: Iterable[str], salt: bytes) -> Iterator[dict[str, object]]:
    """Yields the lines of a sketch of texts: the head, then one a distinct text, by their keys."""
    folded = sorted({words_key(text) for text in texts})
    rows = sorted(zip(_keys(folded, salt), _encoded(folded, salt), strict=True))
    yield {"sketch": VERSION, "salt_id": salt_id(salt), "rows": len(rows)}
    for key, signature in rows:
        yield {"key": key, "signature": signature} if signature else {"key": key}


class Sketch:
    """A sketch in memory, to be asked which texts it has seen."""

    def __init__(self, keys: frozenset[str], values: Bytes) -> None:
        self._keys, self._values = keys, values
        self._bands = [_index(values[:, at * ROWS : (at + 1) * ROWS]) for at in range(BANDS)]

    def seen(self, folded: Sequence[str], salt: bytes, similarity: float) -> list[bool]:
        """Returns, for each folded text, whether the training data holds it or one like it."""
        found = [key in self._keys for key in _keys(folded, salt)]
        at = 0
        for chunk in signatures(folded, _seed(salt)):
            for values in _bytes(chunk):
                if not found[at] and len(folded[at]) >= SHORTEST_FUZZY:
                    found[at] = self._like(values, similarity)
                at += 1
        return found

    def _like(self, values: Bytes, similarity: float) -> bool:
        near: set[int] = set()
        for at, index in enumerate(self._bands):
            near.update(index.get(values[at * ROWS : (at + 1) * ROWS].tobytes(), ()))
        if not near:
            return False
        rows = self._values[list(near)]
        return bool(((rows == values).mean(axis=1) >= similarity).any())


def read_sketch(lines: Iterable[str], where: str, salt: bytes) -> Sketch:
    """Reads a sketch.

    Raises:
        ConfigError: not a sketch, cut short, or made with another salt.
    """
    keys: set[str] = set()
    values: list[bytes] = []
    head: SketchHead | None = None
    count = 0
    for number, line in enumerate(lines, start=1):
        place = f"{where}:{number}"
        if head is None:
            head = validate(parse_json(line, place), SketchHead, place)
            if head.salt_id != salt_id(salt):
                raise ConfigError(
                    f"{place}: made with salt {head.salt_id!r}, expected {salt_id(salt)!r}; name "
                    "the salt it was made with, or make it anew with this one"
                )
            continue
        row = validate(parse_json(line, place), SketchRow, place)
        count += 1
        keys.add(row.key)
        if row.signature is not None:
            values.append(_decoded(row.signature, place))
    if head is None or count != head.rows:
        raise ConfigError(
            f"{where}: holds {count} rows, expected {head.rows if head else 'a head and rows'}; "
            "it was cut short: copy it again"
        )
    return Sketch(frozenset(keys), np.frombuffer(b"".join(values), np.uint8).reshape(-1, SIGNATURE))


def _keys(folded: Iterable[str], salt: bytes) -> list[str]:
    return [hmac.new(salt, key.encode(), hashlib.sha256).hexdigest() for key in folded]


def _seed(salt: bytes) -> int:
    mac = hmac.new(salt, b"hash functions", hashlib.sha256).digest()
    return int.from_bytes(mac, "big")


def _bytes(chunk: NDArray[np.uint32]) -> Bytes:
    return (chunk * np.uint32(0x9E3779B1) >> np.uint32(24)).astype(np.uint8)


def _encoded(folded: Sequence[str], salt: bytes) -> Iterator[str]:
    at = 0
    for chunk in signatures(folded, _seed(salt)):
        for values in _bytes(chunk):
            long = len(folded[at]) >= SHORTEST_FUZZY
            yield base64.b64encode(values.tobytes()).decode() if long else ""
            at += 1


def _decoded(signature: str, where: str) -> bytes:
    try:
        values = base64.b64decode(signature, validate=True)
    except ValueError:
        values = b""
    if len(values) != SIGNATURE:
        raise ConfigError(f"{where}: its signature is damaged; make the sketch anew")
    return values


def _index(values: Bytes) -> dict[bytes, list[int]]:
    index: dict[bytes, list[int]] = {}
    for at, band in enumerate(values):
        index.setdefault(band.tobytes(), []).append(at)
    return index
