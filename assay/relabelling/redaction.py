"""Replaces what could name a person, or open a door, by a typed mask.

Decides what is masked: by pattern, and by checksum where there is one, so that an order number is
not taken for a card. Leaves names alone: no pattern finds them (that takes a model, and people).

==========  =====================================================================================
mask        what
==========  =====================================================================================
`[SECRET]`  private keys, cloud, code and model hub tokens, JSON web tokens, `password: …`
`[URL]`     with a scheme, or beginning with www.
`[EMAIL]`   mailbox@domain
`[IBAN]`    ISO 13616, remainder 1 modulo 97
`[IP]`      IPv4, and IPv6 as Python's `ipaddress` reads it
`[CARD]`    13 to 19 digits, Luhn
`[ID]`      12 digits that begin with 0: a Vietnamese citizen id
`[PHONE]`   E.164 with its plus; Vietnamese numbers as written at home
`[HANDLE]`  @name
==========  =====================================================================================

Every pattern is bounded, so that no text makes one slow, and the rules are applied until none finds
anything: redacting twice is redacting once.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

_MASK = re.compile(r"\[[A-Z]{2,6}\]")

_SUSPECT = re.compile(
    r"[0-9٠-٩０-９@]|://|www\.|-----BEGIN|::|eyJ|sk-|hf_|gh[pousr]_|AKIA|xox|"
    r"pass|secret|token|api.?key|mật",
    re.IGNORECASE,
)
"""Without any of these nothing below matches; most texts have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """A text with masks in the place of what was found.

    Attributes:
        text: what may be stored.
        masks: kind of each mask, in the order in which the rules found them.
        masked: characters of the original that were replaced.
    """

    text: str
    masks: tuple[str, ...]
    masked: int

    def masked_share(self, original: str) -> float:
        """Share of the original's characters that were replaced."""
        return self.masked / len(original) if original else 0.0


def redact(text: str) -> Redacted:
    """Returns the text with typed masks."""
    if not _SUSPECT.search(text):
        return Redacted(text=text, masks=(), masked=0)
    masks: list[str] = []
    lost = 0
    while True:
        before = text
        for kind, pattern, holds in _RULES:
            text, found = _masked(text, kind, pattern, holds)
            masks += [kind] * len(found)
            lost += sum(len(_MASK.sub("", piece)) for piece in found)
        if text == before:
            return Redacted(text=text, masks=tuple(masks), masked=lost)


def _masked(
    text: str, kind: str, pattern: re.Pattern[str], holds: "_Check"
) -> tuple[str, list[str]]:
    """Returns the text with one rule's masks, and what they stand for.

    A mask ends a word, so what follows one is looked at as if a text began there.
    """
    done: list[str] = []
    found: list[str] = []
    at = 0
    while hit := pattern.search(text, at):
        if not holds(hit[0]):
            at = hit.end()
            continue
        done += [text[: hit.start()], f"[{kind}]"]
        found.append(hit[0])
        text, at = text[hit.end() :], 0
    return "".join([*done, text]), found


_Check = Callable[[str], bool]


def _always(found: str) -> bool:
    return True


def _digits(found: str) -> list[int]:
    return [int(sign) for sign in found if sign.isdecimal()]


def _luhn(found: str) -> bool:
    digits = _digits(found)
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _iban(found: str) -> bool:
    letters = re.sub(r"\s", "", found).upper()
    if not 15 <= len(letters) <= 34:
        return False
    return int("".join(str(int(sign, 36)) for sign in letters[4:] + letters[:4])) % 97 == 1


def _address(found: str) -> bool:
    if len(found) < len("::1"):  # two colons alone are punctuation
        return False
    try:
        ipaddress.ip_address(found)
    except ValueError:
        return False
    return True


def _e164(found: str) -> bool:
    return 8 <= len(_digits(found)) <= 15


_SECRETS = (
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[\s\S]{0,8000}?-----END [A-Z ]{0,20}PRIVATE KEY-----",
    r"\beyJ[\w-]{8,2000}\.[\w-]{8,4000}\.[\w-]{8,1000}",
    r"\bsk-[\w-]{16,200}",
    r"\bhf_[A-Za-z0-9]{20,80}",
    r"\bgh[pousr]_[A-Za-z0-9]{20,255}",
    r"\bgithub_pat_\w{20,255}",
    r"\bAKIA[0-9A-Z]{16}\b",
    r"\bxox[abeprs]-[\w-]{10,200}",
    r"(?i:\b(?:password|passwd|secret|token|api[ _-]?key|mật khẩu)\s{0,3}[:=]\s{0,3})"
    r"(?!\[SECRET\])\S{4,200}",
)
_SEPARATOR = r"[ .\-]?"
_RULES: tuple[tuple[str, re.Pattern[str], _Check], ...] = (
    ("SECRET", re.compile("|".join(_SECRETS)), _always),
    ("URL", re.compile(r"(?i:\b(?:https?|ftp)://|\bwww\.)[^\s<>\"\[\]]{2,2000}"), _always),
    (
        "EMAIL",
        re.compile(r"(?<![\w.+-])[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"),
        _always,
    ),
    (
        "IBAN",
        re.compile(
            r"(?<!\w)[A-Za-z]{2}[0-9]{2}(?:[ ]?[A-Za-z0-9]{4}){2,7}(?:[ ]?[A-Za-z0-9]{1,3})?(?!\w)"
        ),
        _iban,
    ),
    ("IP", re.compile(r"(?<![\w.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![\w]|\.[0-9])"), _address),
    ("IP", re.compile(r"(?<![\w:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])"), _address),
    ("CARD", re.compile(rf"(?<!\w)\d(?:{_SEPARATOR}\d){{12,18}}(?!\w)"), _luhn),
    ("ID", re.compile(rf"(?<!\w)0\d{{2}}{_SEPARATOR}\d{{3}}{_SEPARATOR}\d{{6}}(?!\w)"), _always),
    ("PHONE", re.compile(r"(?<!\w)(?:\+|00)[1-9](?:[ .()\-]{0,2}\d){7,14}(?!\w)"), _e164),
    ("PHONE", re.compile(rf"(?<!\w)0[35789](?:{_SEPARATOR}\d){{8}}(?!\w)"), _always),
    ("PHONE", re.compile(rf"(?<!\w)\(?02\d{{1,2}}\)?(?:{_SEPARATOR}\d){{7,8}}(?!\w)"), _always),
    ("PHONE", re.compile(rf"(?<!\w)(?:84|1[89]00)(?:{_SEPARATOR}\d){{4,10}}(?!\w)"), _always),
    ("HANDLE", re.compile(r"(?<![\w@.])@[A-Za-z_][\w.]{1,29}"), _always),
)
