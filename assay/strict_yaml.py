"""YAML that says one thing: no key twice, no merges, nothing that grows when it is read.

Decides which YAML is read at all, and what a document may cost: its length, and how many values it
has once every alias stands for what it names. What the values mean is left to `documents`.
"""

import math
from collections.abc import Hashable, Iterable
from typing import Any

import yaml

MAX_CHARACTERS = 512 * 2**10
MAX_VALUES = 50_000
"""Both are far beyond any policy that a person has written."""

_MERGE = "tag:yaml.org,2002:merge"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_MAX_DIGITS = 400
_LARGEST = 2**53
"""RFC 8785, which digests are computed by, writes no larger whole number."""


class StrictYamlError(Exception):
    """Why a text is not such YAML; `line` counts from 1, None where there is no place."""

    def __init__(self, fault: str, line: int | None = None) -> None:
        super().__init__(fault)
        self.line = line


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, which YAML would silently override."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Builds a mapping, refusing duplicate keys."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                raise _error("merge keys (<<) are not read; write the values out", key_node)
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise _error("a key is a list or a mapping; expected a name", key_node)
            if key in seen:
                raise _error(f"key {key!r} appears twice", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Builds a value; one that its type does not allow (the 31st of June) has a place."""
        # In base sixty, which YAML reads, the cost of a number grows with the square of its length.
        if node.tag in _NUMBERS and len(node.value) > _MAX_DIGITS:
            raise _error("a number of too many digits", node)
        try:
            value = super().construct_object(node, deep)
        # A tag can name a type that the words are not of, which the library takes no care of.
        except (ValueError, OverflowError, LookupError, AttributeError, TypeError) as error:
            known = isinstance(error, ValueError | OverflowError)
            raise _error(str(error) if known else f"no {node.tag[18:]}", node) from None
        # Nothing that is read here counts beyond what JSON carries, and printing it may fail.
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise _error("a whole number of more than 2^53", node)
        return value


def _error(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def parse_yaml(text: str) -> Any:
    """Parses one YAML document.

    Raises:
        StrictYamlError: it is none, or would be larger than a document that a person has written.
    """
    if len(text) > MAX_CHARACTERS:
        raise StrictYamlError(f"{len(text)} characters; expected at most {MAX_CHARACTERS}")
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count(node, {}, frozenset())
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        fault = str(error.problem)
        if error.context and fault.startswith("but "):
            fault = f"{error.context}, {fault}"
        raise StrictYamlError(
            fault, error.problem_mark.line + 1 if error.problem_mark else None
        ) from None
    except yaml.YAMLError as error:
        raise StrictYamlError(str(error).split("\n")[0]) from None
    except RecursionError:
        raise StrictYamlError("nested too deeply") from None
    # The library's scanner takes any number for a character or a version.
    except (ValueError, OverflowError):
        raise StrictYamlError("a number that is too large for its place") from None


def _count(node: yaml.Node, known: dict[int, int], above: frozenset[int]) -> int:
    """Counts the values under a node, each alias as what it names."""
    if id(node) in above:
        raise _error("an alias names a part that it lies in", node)
    if id(node) not in known:
        inner, children = above | {id(node)}, []
        if isinstance(node, yaml.SequenceNode):
            children = node.value
        elif isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(_count(child, known, inner) for child in children)
        if known[id(node)] > MAX_VALUES:
            raise _error(f"more than {MAX_VALUES} values; expected a smaller document", node)
    return known[id(node)]


def unwritable(value: Any, place: str = "") -> str | None:
    """Says what in a value JSON could not carry, so that it would have no digest; None if nothing.

    Asked once a document's own fields are known to be right: they say it better.
    """
    parts: Iterable[tuple[Any, Any]]
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    elif isinstance(value, set | bytes):
        return f"{place}: found a {type(value).__name__}"
    elif isinstance(value, float) and not math.isfinite(value):
        return f"{place}: found {value}"
    else:
        return None
    inner = ((f"{place}.{key}" if place else str(key), part) for key, part in parts)
    return next((fault for at, part in inner if (fault := unwritable(part, at))), None)
