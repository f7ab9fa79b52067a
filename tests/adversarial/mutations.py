"""Mutations of valid documents: nearly right is what reaches the depths of a parser.

Three kinds: of bytes (flipped, cut, doubled, with a hostile piece put in), of values (somewhere in
a JSON document another value, another key, or a key twice), and both.
"""

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

PIECES = (
    b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"-1", b"0x" + b"F" * 5000, b"1" + b":1" * 3000,
    b"\xff", b"\x00", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b'"\\UFFFFFFFF"',
    b"[" * 3000, b"{" * 3000, b'{"a":' * 1500, b'"', b"\\", b"\n", b"\r", b"\xe2\x80\xa8", b",",
    b"null", b"true", b"{}", b"[]", b'"a":1,"a":2,', b"!!bool x", b"!!timestamp x", b"!!int ''",
    b"!!binary x", b"!!python/object:os.system x", b"&a [*a]", b"*a", b"<<: *a", b"? [a]\n: b",
    b"%YAML 1." + b"1" * 5000 + b"\n---\n", b"---\n", b"\t", b"2026-02-31", b".inf", b".nan",
    "\u202e".encode(), "\u0665".encode(), "\U0001f600".encode(), b"../../x", b"{{ 9 ** 9 }}",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**64, -(2**70), 10**300, 10**4000, 0.5, -0.0,
    1e308, 5e-324, "", " ", "x", "\0", "\x1b[2J", "\u202egnorw", "\u0665", "\U0001f600", "../../x",
    "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2026-01-01", "sha256:" + "0" * 64,
    "x" * 5000, [], {}, [[]], {"": None}, [None], [{}], {"a": {"a": {"a": 1}}}, [0] * 1000,
)  # fmt: skip
Text = Callable[[Any], bytes]


@st.composite
def bytes_near(draw: st.DrawFn, valid: bytes) -> bytes:
    """A valid text with one to four faults in its bytes."""
    data = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        end = min(len(data), at + draw(st.integers(0, 40)))
        match draw(st.sampled_from(("flip", "cut", "drop", "double", "insert", "replace"))):
            case "flip" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at:]
            case "drop":
                del data[at:end]
            case "double":
                data[at:at] = data[at:end]
            case "insert":
                data[at:at] = draw(st.sampled_from(PIECES))
            case "replace":
                data[at:end] = draw(st.sampled_from(PIECES))
    return bytes(data)


@st.composite
def values_near(draw: st.DrawFn, valid: Any) -> Any:
    """A JSON value with one to three of its parts replaced, removed, renamed or added."""
    value = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        holders = [(holder, key) for holder in _holders(value) for key in _keys(holder)]
        if not holders:
            return draw(st.sampled_from(VALUES))
        holder, key = draw(st.sampled_from(holders))
        other = copy.deepcopy(draw(st.sampled_from(VALUES)))
        match draw(st.sampled_from(("replace", "replace", "remove", "rename", "add", "wrap"))):
            case "replace":
                holder[key] = other
            case "remove":
                del holder[key]
            case "rename" if isinstance(holder, dict):
                holder[f"{key}\u200b"] = holder.pop(key)
            case "add" if isinstance(holder, dict):
                holder["auto_map"] = other
            case "add":
                holder.append(other)
            case "wrap":
                holder[key] = [holder[key]]
    return value


def _holders(value: Any) -> list[Any]:
    if not isinstance(value, dict | list):
        return []
    parts = value.values() if isinstance(value, dict) else value
    return [value, *(holder for part in parts for holder in _holders(part))]


def _keys(holder: Any) -> list[Any]:
    return list(holder) if isinstance(holder, dict) else list(range(len(holder)))


def as_json(value: Any) -> bytes:
    """One document. JSON is YAML too, so this serves both kinds of reader."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def as_lines(value: Any) -> bytes:
    """A list as JSONL; anything else as its one line."""
    rows = value if isinstance(value, list) else [value]
    return b"".join(as_json(row) + b"\n" for row in rows)


def near(valid: Any, write: Text) -> st.SearchStrategy[bytes]:
    """Texts near a valid one: other values, other bytes, or both."""
    mutated = values_near(valid).map(write)
    return st.one_of(bytes_near(write(valid)), mutated, mutated.flatmap(bytes_near))
