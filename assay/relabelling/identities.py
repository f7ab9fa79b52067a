"""The names under which texts go out to people, and what they stand for.

A golden id such as `en-fear-046` tells whoever opens a raw task the answer, and that it is a
honeypot; so does a field that says why a text was chosen. A task therefore carries a name that says
nothing (a keyed digest), and everything else about it stays with the exporter, one `IdentityRow` a
task. Ingestion puts it back, whatever the platform's copy claims: no field of a task can move a
text into the core. A name without its row is a question of an export that is not known here.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from assay.documents import Document, Identifier
from assay.relabelling.policy import Fields

FIELD = "id"
"""The field of a task's data that holds its opaque name."""

_OPAQUE = re.compile(r"ask-[0-9a-f]{32}")


class IdentityRow(Document):
    """One line of an export's `identities.jsonl`: what a task's opaque name stands for."""

    name: Annotated[str, Field(pattern=f"^{_OPAQUE.pattern}$")]
    id: Identifier = Field(description="The golden case's id, or the request's.")
    lang: str | None
    source: str
    selection: str = Field(description="Why the text was drawn.")
    honeypot: bool

    def restore(self, data: Mapping[str, Any], names: Fields) -> dict[str, Any]:
        """Returns a task's data with everything that was left out of the task.

        Args:
            data: of the task, as the platform gives it back.
            names: what ingestion looks for.
        """
        kept = {name: value for name, value in data.items() if name not in (FIELD, *names.id)}
        kept |= {
            names.id[0]: self.id,
            names.source: self.source,
            names.selection: self.selection,
            names.honeypot: self.honeypot,
        }
        return kept if self.lang is None else kept | {names.lang: self.lang}


def opaque_name(salt: bytes, export: str, identity: str) -> str:
    """Returns the name of a text in one export: HMAC-SHA-256, 128 bits, prefix `ask-`.

    Another export gives the same text another name, so that names tell nothing across exports.

    Args:
        salt: secret; with it alone the name of an id can be found.
        export: id of the export.
        identity: the golden case's id, or the request's.
    """
    mac = hmac.new(salt, f"review\0{export}\0{identity}".encode(), hashlib.sha256)
    return f"ask-{mac.hexdigest()[:32]}"


def is_opaque(identity: object) -> bool:
    """Whether an id is a name that an export gave."""
    return isinstance(identity, str) and _OPAQUE.fullmatch(identity) is not None
