"""How the report writes numbers and prose: units, signs, and code spans.

Decides rounding and signs for people; the exact numbers are in `verdict.json`.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

MISSING = "–"
"""Stands where nothing was measured: never a zero."""

_DECIMALS: Mapping[str, int] = {"F1": 3, "ms": 0, "s": 2, "1/s": 1}
_SUFFIX: Mapping[str, str] = {"ms": " ms", "s": " s", "1/s": " /s"}
_SHARE_UNITS = ("1", "rate", "share")


def number(value: Any, unit: str = "F1") -> str:
    """Returns a value in its unit: `0.812`, `1.20 %`, `412 ms`; a dash when not measured.

    Args:
        value: a number, or None.
        unit: `F1`, `ms`, `s`, `1/s`, `ratio`, or `1` for a share, which is written as per cent.
    """
    if not _measured(value):
        return MISSING
    if unit == "ratio":
        return f"{value:.2f}×"
    if unit in _SHARE_UNITS:
        return f"{100 * value:.2f} %"
    if unit == "money":  # a request costs far less than a thousandth of anything
        return _minus(f"{value:,.4g}")
    decimals = _DECIMALS.get(unit, 3)
    if unit == "ms" and abs(value) < 100:
        decimals = 1
    return _minus(f"{value:,.{decimals}f}") + _SUFFIX.get(unit, "")


def signed(value: Any, unit: str = "F1") -> str:
    """Returns a difference with its sign: `+0.012`, `−1.20 pp`, `±0` for none."""
    if not _measured(value):
        return MISSING
    if unit in _SHARE_UNITS:
        text = f"{100 * value:+.2f}"
        return (_minus(text) if float(text) else "±0.00") + " pp"
    decimals = _DECIMALS.get(unit, 3)
    text = f"{value:+,.{decimals}f}"
    plain = float(text.replace(",", ""))
    return (_minus(text) if plain else "±" + text[1:]) + _SUFFIX.get(unit, "")


def count(value: Any) -> str:
    """Returns a whole number with thousands separated, or a dash."""
    return f"{value:,}" if isinstance(value, int) else MISSING


def p_value(value: Any) -> str:
    """Returns a p-value: `0.032`, or `< 0.001`."""
    if not _measured(value):
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def loose(value: Any) -> str:
    """Returns any scalar of a plug-in's table for reading."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return _minus(f"{value:,.4g}") if _measured(value) else MISSING
    return str(value)


def prose(text: str) -> Markup:
    """Escapes a sentence, sets what stands between backticks as code, and keeps numbers whole.

    Outside code a hyphen before a number becomes a minus, and `p = 0.01` and `95 %` do not break.
    """
    parts = re.split(r"`([^`]+)`", str(escape(text)))
    for index, part in enumerate(parts):
        if index % 2:
            parts[index] = f"<code>{part}</code>"
        else:
            part = re.sub(r"(?<![\w.-])-(?=\d)", "−", part)
            parts[index] = re.sub(r" (?=%)|(?<=\bp) (?==)|(?<=\bp =) ", "\u00a0", part)
    return Markup("".join(parts))  # noqa: S704 escaped above


def slug(name: str) -> str:
    """Returns a name as an HTML id: letters, digits and dashes; never empty."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "part"


def words(key: str) -> str:
    """Returns a snake_case key as words: `confusion_candidate` → `Confusion candidate`."""
    text = key.replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def _measured(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _minus(text: str) -> str:
    return text.replace("-", "−")
