"""A recommendation as a change of the very text of `serving.yaml`.

Decides which characters of the file change: those of the arguments and environment that differ, and
no others, so that comments, order and layout stay as their author left them. What comes out is read
back and must say exactly what was meant; a file that uses YAML in a way that is not understood here
(anchors, values over several lines) is refused, never guessed at.
"""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from assay.errors import ConfigError
from assay.serving_profile import Profile, Serving

Edit = tuple[int, int, str]
"""Replace the characters from the first position to the second by a text."""


def edited(text: str, profile_name: str, wanted: Profile, *, where: str) -> str:
    """Returns the text of a serving file with one profile's arguments and environment changed.

    Args:
        text: the file as it is.
        profile_name: which profile.
        wanted: what it shall say; only its arguments and environment may differ from the file's.
        where: the file's name, for error messages.

    Raises:
        ConfigError: the file cannot be changed in place.
    """
    try:
        node = _profile_node(text, profile_name)
        edits = [
            *_sequence_edits(text, node, "arguments", wanted.arguments),
            *_mapping_edits(text, node, "environment", wanted.environment),
        ]
        result = _applied(text, edits)
        said = Serving.model_validate(yaml.safe_load(result)).profile(profile_name)
    except (ValueError, LookupError, yaml.YAMLError) as error:
        raise _cannot(where, str(error)) from error
    if said.settings != wanted.settings:
        raise _cannot(where, "what came out says something else than was meant")
    return result


def unified_diff(before: str, after: str, name: str) -> str:
    """Returns the change as a patch that `git apply` and `patch -p1` take."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
                   for line in lines)  # fmt: skip


def _cannot(where: str, why: str) -> ConfigError:
    return ConfigError(
        f"{where}: cannot be changed in place ({why.splitlines()[0]}); expected arguments and "
        "environment written out, each value on one line and without anchors; change it by hand"
    )


def _profile_node(text: str, profile_name: str) -> yaml.MappingNode:
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for key in ("profiles", profile_name):
        node = _child(node, key)
    if not isinstance(node, yaml.MappingNode):
        raise ValueError(f"the profile {profile_name!r} is no mapping")
    return node


def _child(node: yaml.MappingNode, key: str) -> Any:
    for name, value in node.value:
        if name.value == key:
            return value
    raise KeyError(f"no {key!r}")


def _has(node: yaml.MappingNode, key: str) -> bool:
    return any(name.value == key for name, _ in node.value)


def _sequence_edits(
    text: str, profile: yaml.MappingNode, key: str, wanted: Sequence[str]
) -> list[Edit]:
    if not _has(profile, key):
        return [_new_entry(text, profile, key, _flow(wanted))] if wanted else []
    node = _child(profile, key)
    items: list[yaml.Node] = node.value
    before = [str(item.value) for item in items]
    if not items:
        return [(node.start_mark.index, node.end_mark.index, _flow(wanted))] if wanted else []
    edits: list[Edit] = []
    matcher = difflib.SequenceMatcher(a=before, b=wanted, autojunk=False)
    for kind, start, end, new_start, new_end in matcher.get_opcodes():
        if kind == "equal":
            continue
        both = min(end - start, new_end - new_start)
        for item, value in zip(items[start : start + both], wanted[new_start:], strict=False):
            edits.append((item.start_mark.index, item.end_mark.index, _scalar(value)))
        if end - start > both:
            edits.append(_removal(text, node, start + both, end))
        if new_end - new_start > both:
            edits.append(_insertion(text, node, end, wanted[new_start + both : new_end]))
    return edits


def _removal(text: str, node: yaml.SequenceNode, start: int, end: int) -> Edit:
    """Removes items, with the commas or the lines that are theirs."""
    items = node.value
    if not node.flow_style:
        stop = _line_end(text, items[end - 1].end_mark.index)
        return _line_start(text, items[start].start_mark.index), stop, ""
    if end < len(items):
        return items[start].start_mark.index, items[end].start_mark.index, ""
    if start > 0:
        return items[start - 1].end_mark.index, items[-1].end_mark.index, ""
    return items[0].start_mark.index, items[-1].end_mark.index, ""


def _insertion(text: str, node: yaml.SequenceNode, at: int, values: Iterable[str]) -> Edit:
    """Inserts values before item `at`, or after the last one."""
    items = node.value
    written = [_scalar(value) for value in values]
    if not node.flow_style:
        dash = " " * node.start_mark.column + "- "
        lines = "".join(f"{dash}{value}\n" for value in written)
        if at < len(items):
            place = _line_start(text, items[at].start_mark.index)
        else:
            place = _line_end(text, items[-1].end_mark.index)
        return place, place, _after_newline(text, place) + lines
    if at < len(items):
        place = items[at].start_mark.index
        return place, place, "".join(f"{value}, " for value in written)
    place = items[-1].end_mark.index
    return place, place, "".join(f", {value}" for value in written)


def _mapping_edits(
    text: str, profile: yaml.MappingNode, key: str, wanted: Mapping[str, str]
) -> list[Edit]:
    if not _has(profile, key):
        return [_new_entry(text, profile, key, _flow_mapping(wanted))] if wanted else []
    node = _child(profile, key)
    if not node.value:
        whole = (node.start_mark.index, node.end_mark.index, _flow_mapping(wanted))
        return [whole] if wanted else []
    before = {name.value: value for name, value in node.value}
    edits = [
        (before[name].start_mark.index, before[name].end_mark.index, _string(value))
        for name, value in wanted.items()
        if name in before and str(before[name].value) != value
    ]
    added = {name: value for name, value in wanted.items() if name not in before}
    last = node.value[-1][1]
    if added and node.flow_style:
        place = last.end_mark.index
        edits.append((place, place, "".join(f", {n}: {_string(v)}" for n, v in added.items())))
    elif added:
        place = _line_end(text, last.end_mark.index)
        indent = " " * node.start_mark.column
        lines = "".join(f"{indent}{n}: {_string(v)}\n" for n, v in added.items())
        edits.append((place, place, _after_newline(text, place) + lines))
    return edits


def _new_entry(text: str, profile: yaml.MappingNode, key: str, written: str) -> Edit:
    """Inserts a key that the profile lacks, after its image."""
    image = next((value for name, value in profile.value if name.value == "image"), None)
    if image is None:
        raise KeyError("no 'image'")
    if profile.flow_style:
        place = image.end_mark.index
        return place, place, f", {key}: {written}"
    place = _line_end(text, image.end_mark.index)
    line = f"{' ' * profile.start_mark.column}{key}: {written}\n"
    return place, place, _after_newline(text, place) + line


def _applied(text: str, edits: Iterable[Edit]) -> str:
    """Makes the edits from the last to the first, so that no position moves before its turn."""
    for _, (start, end, new) in sorted(enumerate(edits), key=lambda one: (one[1][:2], one[0]),
                                       reverse=True):  # fmt: skip
        text = text[:start] + new + text[end:]
    return text


def _line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _line_end(text: str, index: int) -> int:
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def _after_newline(text: str, place: int) -> str:
    return "" if place == 0 or text[place - 1] == "\n" else "\n"


def _flow(values: Sequence[str]) -> str:
    return f"[{', '.join(map(_scalar, values))}]"


def _flow_mapping(values: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {_string(value)}" for name, value in values.items()) + "}"


def _scalar(value: str) -> str:
    """Writes a word of the command line: plain where that is read back as the same word."""
    try:
        plain = yaml.safe_load(f"[{value}]") == [value] and value == value.strip()
    except yaml.YAMLError:
        plain = False
    return value if plain and "#" not in value else json.dumps(value, ensure_ascii=False)


def _string(value: str) -> str:
    """Writes a variable's value: always quoted, so that `1` stays a text."""
    return json.dumps(value, ensure_ascii=False)
