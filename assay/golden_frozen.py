"""The frozen form of a golden set: its canonical bytes, and the small file in Git that names them.

Decides the bytes of `golden.jsonl` and `probes.jsonl` (NFC, sorted by id, one order of fields) and
what `golden.digest.json` says about them; leaves making them to the `freeze` stage and fetching
them to `adapters.golden_dvc`. The data lies in DVC's cache, which does not verify what it returns;
the digest lies in Git, so whoever reads the data compares the two.
"""

import dataclasses
import json
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeVar

from pydantic import Field

from assay import digests
from assay.documents import Document
from assay.golden_set import full_row, golden_digest
from assay.records import GoldenCase, Probe

GOLDEN_FILE = "golden.jsonl"
PROBES_FILE = "probes.jsonl"
DIGEST_FILE = "golden.digest.json"

SEMANTIC_VERSION = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$"

Item = TypeVar("Item", GoldenCase, Probe)


class FrozenFile(Document):
    """What is known in Git about one frozen file.

    `sha256` is the hex digest of the file's bytes; `digest` the identity of what it holds, which
    evidence without texts can prove (`assay.golden_set.golden_digest`).
    """

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    digest: str = Field(pattern="^sha256:[0-9a-f]{64}$")
    rows: int = Field(ge=1)


class FrozenGolden(Document):
    """The whole of `golden.digest.json`."""

    schema_version: Literal[1] = 1
    version: str = Field(pattern=SEMANTIC_VERSION)
    golden: FrozenFile
    probes: FrozenFile

    def to_bytes(self) -> bytes:
        """Returns the file's bytes."""
        return json_bytes(self.model_dump(mode="json"))


def canonical(items: Iterable[Item]) -> tuple[Item, ...]:
    """Returns cases or probes in their canonical form: NFC texts, sorted slices, order of ids."""
    return tuple(sorted((_canonical(item) for item in items), key=lambda item: item.id))


def _canonical(item: Item) -> Item:
    if item.text is None:
        return item
    text = unicodedata.normalize("NFC", item.text)
    changes: dict[str, Any] = {"text": text, "text_sha256": digests.text_sha256(text)}
    if isinstance(item, GoldenCase):
        changes["slices"] = tuple(sorted(set(item.slices)))
    return dataclasses.replace(item, **changes)


def to_jsonl(items: Iterable[GoldenCase | Probe]) -> bytes:
    """Returns items as JSONL, one a line in one order of fields, texts readable.

    Raises:
        ConfigError: an item's text is not known.
    """
    lines = (json.dumps(full_row(item), ensure_ascii=False) + "\n" for item in items)
    return "".join(lines).encode()


def describe_frozen(
    version: str, cases: Sequence[GoldenCase], probes: Sequence[Probe]
) -> FrozenGolden:
    """Returns what Git keeps about canonical cases and probes."""
    return FrozenGolden(version=version, golden=_describe(cases), probes=_describe(probes))


def _describe(items: Sequence[GoldenCase] | Sequence[Probe]) -> FrozenFile:
    return FrozenFile(
        sha256=digests.of_bytes(to_jsonl(items)).removeprefix("sha256:"),
        digest=golden_digest(items),
        rows=len(items),
    )


def json_bytes(value: Any) -> bytes:
    """Returns a JSON value as people read it in a diff: indented, one order, a final newline."""
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()
