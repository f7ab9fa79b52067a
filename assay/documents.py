"""Reads YAML, JSON and JSONL files into validated models, with errors that name the line.

The one place where a document's bytes become values. Duplicate keys, NaN, wrong encodings and
unknown fields are refused here; what the fields mean is left to each document's own module.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay.errors import ConfigError
from assay.strict_yaml import StrictYamlError, parse_yaml, unwritable

MAX_COMMAS = 3_000_000
MAX_CONTAINERS = 1_200_000
MAX_COLONS = 1_000_000
"""A Gemma tokenizer, the largest JSON that is read, has about 1.6 million commas, 0.6 million lists
and 0.3 million keys."""


class Document(BaseModel):
    """Base of every document that comes in: immutable, and unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


D = TypeVar("D", bound=BaseModel)

Identifier = Annotated[
    str, Field(min_length=1, max_length=200, pattern=r"^[^\s\p{Cc}](?:\P{Cc}*[^\s\p{Cc}])?$")
]
"""An id or a label as a file may hold it: short enough to print, nothing a terminal obeys."""

_PLAIN_NAME = re.compile(r"[A-Za-z_][\w.-]{0,59}", re.ASCII)
_EXPECTED = {
    "model_type": "expected a mapping of fields",
    "model_attributes_type": "expected a mapping of fields",
    "dict_type": "expected a mapping of fields",
    "dataclass_type": "expected a mapping of fields",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
}


def read_text(path: Path) -> str:
    """Returns a file's text.

    Raises:
        ConfigError: the file is missing, unreadable, or not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name an existing file") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{path}:{line}: byte {error.object[error.start]:#04x} is not UTF-8; "
            "expected UTF-8 text; convert the file (for example with iconv)"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def parse_json(text: str, where: str) -> Any:
    """Parses strict JSON: no duplicate keys, no NaN or infinity, no half characters.

    Args:
        text: the document.
        where: file (and line) for the error message.

    Raises:
        ConfigError: the text is not strict JSON.
    """
    if bomb := too_many_values(text):
        raise ConfigError(f"{where}: not valid JSON ({bomb}); shorten it")

    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        fault = "nested too deeply"
    except json.JSONDecodeError as error:
        fault = _json_fault(error)
    except UnicodeEncodeError:
        fault = "half of a surrogate pair, which is no character"
    except ValueError as error:
        fault = "a number of too many digits" if "digits" in str(error) else str(error)
    else:
        return value
    raise ConfigError(f"{where}: not valid JSON ({fault}); correct the line")


def too_many_values(text: str) -> str | None:
    """Bounds what parsing JSON may cost before it begins, by counting the marks that make values.

    Returns:
        What there is too much of, or None.
    """
    found = {
        "commas": (text.count(","), MAX_COMMAS),
        "brackets": (text.count("[") + text.count("{"), MAX_CONTAINERS),
        "colons": (text.count(":"), MAX_COLONS),
    }
    too_many = [
        f"{n} {mark}, expected at most {most}" for mark, (n, most) in found.items() if n > most
    ]
    return f"too many values: {'; '.join(too_many)}" if too_many else None


def _json_fault(error: json.JSONDecodeError) -> str:
    if error.msg.startswith("Unexpected UTF-8 BOM"):
        return "it begins with a byte order mark; save it as UTF-8 without one"
    line = f"line {error.lineno}, " if "\n" in error.doc.strip() else ""
    return f"{error.msg} at {line}column {error.colno}"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {_short(digits)} is too large")
    return value


def _whole(digits: str) -> int:
    # More than a float could hold: no reader has a use for it, and some would fail on it.
    if len(digits) > 300:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"key {key!r} appears twice")
        result[key] = value
    return result


def read_yaml(path: Path, model: type[D]) -> D:
    """Reads a YAML file into a document.

    Raises:
        ConfigError: missing, not YAML, or not what `model` expects; names file, field and value.
    """
    try:
        value = parse_yaml(read_text(path))
    except StrictYamlError as error:
        place = str(path) if error.line is None else f"{path}:{error.line}"
        raise ConfigError(f"{place}: not valid YAML ({error}); correct the file") from None
    if value is None:
        raise ConfigError(f"{path}: holds nothing; expected a mapping of fields; fill it in")
    document = validate(value, model, str(path))
    if fault := unwritable(value):
        raise ConfigError(f"{path}: {fault}, expected words and finite numbers; correct the file")
    return document


def read_jsonl(path: Path, model: type[D]) -> Iterator[tuple[int, D]]:
    """Yields (line number from 1, document) for each non-blank line of a JSONL file.

    Raises:
        ConfigError: the file cannot be read or a line is not what `model` expects.
    """
    yield from parse_jsonl(read_text(path), str(path), model)


def parse_jsonl(text: str, where: str, model: type[D]) -> Iterator[tuple[int, D]]:
    """Yields (line number from 1, document) for each non-blank line of a JSONL text.

    Lines may end as on Windows, and a byte order mark before the first is passed over: both change
    nothing that is read, so they change no digest either.

    Args:
        text: the lines.
        where: where they come from, for error messages.
        model: what each line must be.

    Raises:
        ConfigError: a line is not what `model` expects.
    """
    for number, line in enumerate(_lines(text.removeprefix("\ufeff")), start=1):
        if line.strip():
            place = f"{where}:{number}"
            yield number, validate(parse_json(line, place), model, place)


def _lines(text: str) -> Iterator[str]:
    """Yields the lines one by one: a list of them would hold a large file twice."""
    begin = 0
    while (end := text.find("\n", begin)) >= 0:
        yield text[begin:end]
        begin = end + 1
    yield text[begin:]


def validate(value: Any, model: type[D], where: str) -> D:
    """Validates a parsed value.

    Raises:
        ConfigError: lists every field that is wrong, what was found and what was expected. Values
            of fields named `text` are never quoted.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ConfigError(f"{where}: {describe(error)}; correct the file") from None


def describe(error: ValidationError) -> str:
    """Renders a pydantic error as one sentence without case text.

    What is quoted is the value of a field we know, other than `text` and `raw`: a field that should
    not be there, or a line that is no mapping, may be a case's text under another name.
    """
    parts = []
    for item in error.errors(include_url=False, include_context=False):
        steps = item["loc"]
        unknown = item["type"] == "extra_forbidden"
        named = all(_PLAIN_NAME.fullmatch(str(step)) or isinstance(step, int) for step in steps)
        place = ".".join(map(str, steps)) if named or not unknown else "an unknown field"
        secret = unknown or item["type"] == "missing" or {"text", "raw"} & set(steps)
        found = "" if secret else _found(item["input"], whole=not steps)
        message = _EXPECTED.get(item["type"]) or item["msg"].removeprefix("Value error, ")
        parts.append(f"{place or 'the document'}: {message}{found}")
    return "; ".join(parts)


def _found(value: Any, *, whole: bool) -> str:
    if not whole:
        return f", found {_short(value)}"
    return "" if isinstance(value, dict) else f", found {type(value).__name__!r}"


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value)}"
    return quoted(value)


def quoted(value: object) -> str:
    """Returns a value as a message may show it: `repr`, cut at 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
