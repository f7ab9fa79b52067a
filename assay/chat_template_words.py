"""Finds where a chat template looks into what a message says, by following values by name.

Decides which expressions of a Jinja syntax tree may hold a message's words, and which constructs
look into them (compare, search, slice, measure, count) rather than only print them. A template that
looks can answer a trigger phrase with a prompt of its own. Whether that is a refusal is left to
`chat_template_lint`.

Values are followed by name, without regard to order or scope: a name that holds words anywhere
holds them everywhere. So the answer errs on the side of finding too much.
"""

from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import TypeGuard

from jinja2 import nodes

_HARMLESS_KEYS = frozenset({"role", "tool_calls"})
_ATTRIBUTE_FILTERS = frozenset({"selectattr", "rejectattr"})
_NEUTRAL_FILTERS = frozenset(
    {"trim", "string", "tojson", "safe", "escape", "e", "default", "d", "lower", "upper"}
)
"""They change all words alike, so what they return is still the message's words."""
_NEUTRAL_METHODS = frozenset({"strip", "lstrip", "rstrip"})
_NEUTRAL_TESTS = frozenset({
    "defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "boolean",
    "number",
})  # fmt: skip
_GIVING = (nodes.Assign, nodes.AssignBlock, nodes.For, nodes.Macro, nodes.Call)
_MAX_ROUNDS = 12


class Kind(IntEnum):
    """What a value may be; the larger kind wins where a name may be either."""

    OTHER = 0
    MESSAGES = 1
    MESSAGE = 2
    WORDS = 3


def looks_into_words(tree: nodes.Template) -> Iterator[nodes.Node]:
    """Yields every node of a template that looks into what a message says."""
    follower = _Follower(_kinds_of_names(tree))
    for node in every(tree):
        if follower.looks(node):
            yield node


def every(node: nodes.Node) -> Iterator[nodes.Node]:
    """Yields a node and all below it, without recursion."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(current.iter_child_nodes())


def _kinds_of_names(tree: nodes.Template) -> Mapping[str, Kind]:
    """Follows assignments, loops and macros until no name's kind grows any more.

    A template that takes more than a few rounds was not written to be understood: each of its
    names is then taken to hold words.
    """
    kinds: dict[str, Kind] = {"messages": Kind.MESSAGES}
    follower = _Follower(kinds)
    order = [node for node in every(tree) if isinstance(node, _GIVING)]
    for _ in range(_MAX_ROUNDS):
        before = dict(kinds)
        for node in order:
            for name, kind in list(follower.assigned(node)):
                kinds[name] = max(kinds.get(name, Kind.OTHER), kind)
        if kinds == before:
            return kinds
        order.reverse()
    return dict.fromkeys(kinds, Kind.WORDS)


class _Follower:
    """Knows the kind of every expression, given the kinds of the names."""

    def __init__(self, names: Mapping[str, Kind]) -> None:
        self._names = names

    def kind(self, node: nodes.Node | None) -> Kind:
        """Returns what an expression's value may be."""
        if node is None or isinstance(node, nodes.Test | nodes.Compare | nodes.Not | nodes.Const):
            return Kind.OTHER
        if isinstance(node, nodes.Name):
            return self._names.get(node.name, Kind.OTHER)
        if isinstance(node, nodes.Getattr):
            return self._member(node.node, node.attr)
        if isinstance(node, nodes.Getitem):
            if isinstance(node.arg, nodes.Slice):
                return self.kind(node.node)
            key = node.arg.value if isinstance(node.arg, nodes.Const) else None
            return self._member(node.node, key)
        if isinstance(node, nodes.Filter):
            return self._filtered(node)
        if isinstance(node, nodes.CondExpr):
            return max(self.kind(node.expr1), self.kind(node.expr2))
        if isinstance(node, nodes.And | nodes.Or):
            return max(self.kind(node.left), self.kind(node.right))
        touched = any(self.kind(child) for child in node.iter_child_nodes())
        return Kind.WORDS if touched else Kind.OTHER

    def _member(self, owner: nodes.Node, key: object) -> Kind:
        if key in ("previtem", "nextitem"):
            return Kind.MESSAGE
        kind = self.kind(owner)
        if kind is Kind.MESSAGES:
            return Kind.WORDS if isinstance(key, str) else Kind.MESSAGE
        if kind is Kind.MESSAGE:
            return Kind.OTHER if key in _HARMLESS_KEYS else Kind.WORDS
        return kind

    def _filtered(self, node: nodes.Filter) -> Kind:
        kind = self.kind(node.node)
        if kind is Kind.MESSAGES:
            if node.name in ("length", "count"):
                return Kind.OTHER
            if node.name in ("first", "last"):
                return Kind.MESSAGE
            same = {"list", "reverse"} | _ATTRIBUTE_FILTERS
            return kind if node.name in same else Kind.WORDS
        touched = kind or any(self.kind(argument) for argument in node.args)
        return Kind.WORDS if touched else Kind.OTHER

    def assigned(self, node: nodes.Node) -> Iterator[tuple[str, Kind]]:
        """Yields the names that a node gives a value, with the value's kind."""
        if isinstance(node, nodes.Assign):
            yield from _to(node.target, self.kind(node.node))
        elif isinstance(node, nodes.AssignBlock):
            touched = any(self.kind(part) for child in node.body for part in every(child))
            yield from _to(node.target, Kind.WORDS if touched else Kind.OTHER)
        elif isinstance(node, nodes.For):
            kind = self.kind(node.iter)
            item = Kind.MESSAGE if kind is Kind.MESSAGES else kind and Kind.WORDS
            yield from _to(node.target, Kind(item))
        elif isinstance(node, nodes.Macro):
            yield node.name, Kind.WORDS
            yield from ((argument.name, Kind.WORDS) for argument in node.args)
        elif _is_method(node, "append") and any(map(self.kind, node.args)):
            yield from _to(node.node, Kind.WORDS)

    def looks(self, node: nodes.Node) -> bool:
        """Whether a node looks into words (and not only at whether there are any)."""
        if isinstance(node, nodes.Compare):
            return self._compares(node)
        if isinstance(node, nodes.For):
            return self.kind(node.iter) in (Kind.MESSAGE, Kind.WORDS)
        if isinstance(node, nodes.Test):
            values = [node.node, *node.args]
            return node.name not in _NEUTRAL_TESTS and any(map(self.kind, values))
        if isinstance(node, nodes.Filter):
            return self._filter_looks(node)
        if isinstance(node, nodes.Getitem):
            return self.kind(node.node) is Kind.WORDS or self.kind(node.arg) > Kind.OTHER
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
            method, owner = node.node.attr, self.kind(node.node.node)
            looked_up = method != "append" and any(map(self.kind, node.args))
            return looked_up or (owner is Kind.WORDS and method not in _NEUTRAL_METHODS)
        return False

    def _compares(self, node: nodes.Compare) -> bool:
        asks_for_key = isinstance(node.expr, nodes.Const) and node.ops[0].op in ("in", "notin")
        if asks_for_key and len(node.ops) == 1:
            # Whether a message has a key says nothing about its words.
            return self.kind(node.ops[0].expr) in (Kind.MESSAGES, Kind.WORDS)
        return any(map(self.kind, [node.expr, *(operand.expr for operand in node.ops)]))

    def _filter_looks(self, node: nodes.Filter) -> bool:
        kind = self.kind(node.node)
        if node.name in _ATTRIBUTE_FILTERS and kind:
            first = node.args[0] if node.args else None
            return not (isinstance(first, nodes.Const) and first.value in _HARMLESS_KEYS)
        return kind is Kind.WORDS and node.name not in _NEUTRAL_FILTERS


def _is_method(node: nodes.Node, name: str) -> TypeGuard[nodes.Call]:
    return (
        isinstance(node, nodes.Call)
        and isinstance(node.node, nodes.Getattr)
        and node.node.attr == name
    )


def _to(target: nodes.Node, kind: Kind) -> Iterator[tuple[str, Kind]]:
    for node in every(target):
        if isinstance(node, nodes.Name | nodes.NSRef):
            yield node.name, kind
