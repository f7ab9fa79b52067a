"""Which texts may be stored, and what is stored of them.

The one place that decides it: ingestion quarantines by these rules, and a review export leaves out
by them, so that nobody labels a text that is then refused.
"""

import re
import unicodedata
from dataclasses import dataclass

from assay.relabelling.policy import TextRules
from assay.relabelling.redaction import redact

_MARKUP = re.compile(r"</?[A-Za-z][^<>]{0,200}>|&(?:[a-z]{2,8}|#[0-9]{1,6}|#x[0-9a-f]{1,6});", re.I)


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a text may not be stored; holds nothing of the text."""

    reason: str
    detail: str


def fit_text(text: str, rules: TextRules) -> str | Unfit:
    """Returns what may be stored of a text (redacted, NFC), or why nothing may."""
    if problem := _problem(text, rules.longest):
        return problem
    redacted = redact(text)
    share = redacted.masked_share(text)
    if share > rules.max_masked_share:
        return Unfit("redacted-away", f"{share:.0%} of the text would be masked")
    return unicodedata.normalize("NFC", redacted.text)


def _problem(text: str, longest: int) -> Unfit | None:
    if len(text) > longest:
        return Unfit("too-long", f"{len(text)} characters, expected at most {longest}")
    if not text.isascii() or not text.isprintable():
        kinds = {unicodedata.category(sign) for sign in text if sign not in "\n\r\t"}
        if "Cc" in kinds or "Cs" in kinds:
            detail = "holds control characters; what was shown is unclear"
            return Unfit("control-characters", detail)
        if _misread(text):
            detail = "its letters were read in a wrong encoding; export it as UTF-8"
            return Unfit("encoding", detail)
        if kinds <= {"Zs", "Zl", "Zp", "Cf"}:
            return Unfit("empty-text", "shows nothing")
    if not text.strip():
        return Unfit("empty-text", "shows nothing")
    if ("<" in text or "&" in text) and _MARKUP.search(text):
        return Unfit("markup", "holds HTML; people may have seen another text than the model")
    return None


def _misread(text: str) -> bool:
    """Whether UTF-8 was read as Windows-1252, or a decoder gave up on a letter."""
    if "\ufffd" in text:
        return True
    try:
        return text.encode("cp1252").decode("utf-8") != text
    except (UnicodeEncodeError, UnicodeDecodeError):
        return False
