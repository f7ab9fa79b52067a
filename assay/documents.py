"""Reads YAML, JSON and JSONL files into validated models, with errors that name the line.

The one place where a document's bytes become values. Duplicate keys, NaN, wrong encodings and
unknown fields are refused here; what the fields mean is left to each document's own module.
"""

import json
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from assay.errors import ConfigError


class Document(BaseModel):
    """Base of every document that comes in: immutable, and unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


D = TypeVar("D", bound=BaseModel)


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
    """Parses strict JSON: no duplicate keys, no NaN or infinity.

    Args:
        text: the document.
        where: file (and line) for the error message.

    Raises:
        ConfigError: the text is not strict JSON.
    """

    def refuse_constant(name: str) -> NoReturn:
        raise ValueError(f"holds {name}, which is not JSON")

    try:
        return json.loads(text, object_pairs_hook=_unique_keys, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid JSON ({error}); correct the line") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"key {key!r} appears twice")
        result[key] = value
    return result


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, which YAML would silently override."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Builds a mapping, refusing duplicate keys."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} appears twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, model: type[D]) -> D:
    """Reads a YAML file into a document.

    Raises:
        ConfigError: missing, not YAML, or not what `model` expects; names file, field and value.
    """
    text = read_text(path)
    try:
        value = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader subclass
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML ({error}); correct the file") from None
    return validate(value, model, str(path))


def read_jsonl(path: Path, model: type[D]) -> Iterator[tuple[int, D]]:
    """Yields (line number from 1, document) for each non-blank line of a JSONL file.

    Raises:
        ConfigError: the file cannot be read or a line is not what `model` expects.
    """
    yield from parse_jsonl(read_text(path), str(path), model)


def parse_jsonl(text: str, where: str, model: type[D]) -> Iterator[tuple[int, D]]:
    """Yields (line number from 1, document) for each non-blank line of a JSONL text.

    Args:
        text: the lines.
        where: where they come from, for error messages.
        model: what each line must be.

    Raises:
        ConfigError: a line is not what `model` expects.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            place = f"{where}:{number}"
            yield number, validate(parse_json(line, place), model, place)


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
    """Renders a pydantic error as one sentence without case text."""
    parts = []
    for item in error.errors(include_url=False, include_context=False):
        place = ".".join(str(step) for step in item["loc"]) or "the document"
        secret = any(step in ("text", "raw") for step in item["loc"])
        found = "" if secret or item["type"] == "missing" else f", found {_short(item['input'])}"
        message = item["msg"].removeprefix("Value error, ")
        parts.append(f"{place}: {message}{found}")
    return "; ".join(parts)


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
