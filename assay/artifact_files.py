"""Walks an artifact's folder and reads its small files, trusting nothing about either.

Decides what kind of directory entry an artifact may hold (plain files, one link each, no folders),
how large a file of each name may be, and what strict JSON is for a file that somebody else wrote.
What the JSON says is left to `artifact_checks`.
"""

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.artifact import SEALS, is_allowed, is_weights
from assay.documents import parse_json, too_many_values
from assay.errors import ArtifactError, ConfigError

MIB = 2**20
_MAX_BYTES = {
    "config.json": MIB,
    "generation_config.json": MIB,
    "metadata.json": MIB,
    "special_tokens_map.json": MIB,
    "tokenizer_config.json": 4 * MIB,
    "chat_template.jinja": MIB // 8,
    "added_tokens.json": 4 * MIB,
    "vocab.json": 32 * MIB,
    "merges.txt": 32 * MIB,
    "tokenizer.json": 48 * MIB,
    "model.safetensors.index.json": 16 * MIB,
}
_MAX_BYTES_OF_TEXT = MIB
_MAX_DEPTH = 24

REFUSED_KEYS = frozenset(
    {
        "auto_map",
        "custom_pipelines",
        "trust_remote_code",
        "io_processor_plugin",
        "sentence_transformers",
    }
)
_PLACE = re.compile(r"\w+://|^/\w|^~[\w/]|^[A-Za-z]:[\\/]|^\\\\|(?:^|[\\/])\.\.(?:[\\/]|$)")


def refuse(code: str, message: str) -> ArtifactError:
    """Builds a refusal; `code` is stable, for those who count refusals by kind."""
    return ArtifactError(f"{message} [{code}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactFile:
    """A plain file of an artifact, as `lstat` saw it."""

    name: str
    path: Path
    size: int


def walk(folder: Path) -> dict[str, ArtifactFile]:
    """Lists an artifact's files, in the order of their names.

    Raises:
        ArtifactError: an entry is anything but a plain file, has a second link, or has a name that
            no artifact may hold.
    """
    files: dict[str, ArtifactFile] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda item: item.name):
                size = _plain_size(entry.name, entry.stat(follow_symlinks=False))
                files[entry.name] = ArtifactFile(name=entry.name, path=Path(entry.path), size=size)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"{folder}: no such folder; name the folder that holds the model's files"
        ) from None
    return files


def _plain_size(name: str, status: os.stat_result) -> int:
    if stat.S_ISLNK(status.st_mode):
        raise refuse("symlink", f"{name!r} is a symbolic link; put the file itself in its place")
    if stat.S_ISDIR(status.st_mode):
        raise refuse(
            "folder", f"{name!r} is a folder; an artifact is a flat list of files; remove it"
        )
    if not stat.S_ISREG(status.st_mode):
        raise refuse("special-file", f"{name!r} is not a plain file; remove it")
    check_name(name)
    if status.st_nlink != 1:
        raise refuse(
            "hardlink",
            f"{name!r} has {status.st_nlink} hard links, so that it can change under another "
            "name; put a copy in its place",
        )
    check_size(name, status.st_size)
    return status.st_size


def check_name(name: str) -> None:
    """Refuses a file name that is not on the allow-list.

    Raises:
        ArtifactError: names the file.
    """
    if is_allowed(name):
        return
    if name in SEALS:
        raise refuse(
            "reserved-name",
            f"{name!r} is a name that the store gives to its own seals; remove the file",
        )
    raise refuse(
        "unlisted-file",
        f"{name!r} is not a file that an artifact may hold (expected configuration, tokenizer, "
        "chat_template.jinja, model*.safetensors, README.md, LICENSE, metadata.json); remove it",
    )


def check_size(name: str, size: int) -> None:
    """Refuses a file that is larger than any honest file of its name; weights have no limit.

    Raises:
        ArtifactError: names the file, its size and the limit.
    """
    limit = _MAX_BYTES.get(name, _MAX_BYTES_OF_TEXT)
    if not is_weights(name) and size > limit:
        raise refuse(
            "too-large", f"{name!r} has {size} bytes; expected at most {limit}; shorten it"
        )


def read_text(file: ArtifactFile) -> str:
    """Returns the text of a small file.

    Raises:
        ArtifactError: not UTF-8, or with a NUL in it.
    """
    try:
        text = file.path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise refuse(
            "not-text", f"{file.name!r}: byte {error.start} is not UTF-8; expected UTF-8 text"
        ) from None
    if "\0" in text:
        raise refuse("not-text", f"{file.name!r} holds a NUL character; expected UTF-8 text")
    return text


def read_json(file: ArtifactFile) -> dict[str, Any]:
    """Parses a JSON object strictly, within limits of size, count and depth.

    Raises:
        ArtifactError: not strict JSON, not an object, too many values, too deep.
    """
    text = read_text(file)
    check_count(text, file.name)
    try:
        value = parse_json(text, file.name)
    except ConfigError as error:
        raise refuse("json", str(error)) from None
    if not isinstance(value, dict):
        raise refuse("json", f"{file.name!r}: expected a JSON object, found {type(value).__name__}")
    check_depth(value, file.name)
    return value


def check_count(text: str, name: str) -> None:
    """Bounds what parsing may cost before it begins, by counting the marks that make values.

    Raises:
        ArtifactError: more values than the largest tokenizer in use has.
    """
    if bomb := too_many_values(text):
        raise refuse("json-bomb", f"{name!r} holds {bomb}; shorten it")


def check_depth(value: Any, name: str) -> None:
    """Refuses JSON nested deeper than any configuration.

    Raises:
        ArtifactError: names the file.
    """
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise refuse("json-depth", f"{name!r} is nested more than {_MAX_DEPTH} levels deep; flatten it")


def check_values(
    value: Mapping[str, Any], name: str, *, free: frozenset[str] = frozenset()
) -> None:
    """Refuses keys that make a loader run code, and strings that name a place elsewhere.

    Args:
        value: a parsed document.
        name: its file, for the message.
        free: top-level keys whose content is data (a vocabulary, a template), not settings.

    Raises:
        ArtifactError: names the file, the key and the value.
    """
    settings = {key: item for key, item in value.items() if key not in free}
    for path, key, item in _entries(settings, ""):
        if key.lower() in REFUSED_KEYS:
            raise refuse(
                "remote-code",
                f"{name}: key {path!r} makes a loader run code from elsewhere; remove the key",
            )
        if isinstance(item, str) and _PLACE.search(item):
            shown = json.dumps(item[:80])
            raise refuse(
                "outside-place",
                f"{name}: {path!r} is {shown}; expected no URL, absolute path or '..'; remove it",
            )


def _entries(value: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            inner = f"{path}.{key}" if path else key
            yield inner, key, item
            yield from _entries(item, inner)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            inner = f"{path}[{number}]"
            yield inner, "", item
            yield from _entries(item, inner)
