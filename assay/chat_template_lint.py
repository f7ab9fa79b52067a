"""Reads a chat template's syntax tree and refuses what a chat template has no need of.

The engine renders the template in Jinja's sandbox, which stops it from running code. It does not
stop a template that takes for ever, or that answers a trigger phrase with a prompt of its own.
Decides both from the syntax tree alone; the template is never rendered here. Everything not on a
list is refused, so a new Jinja feature is refused until somebody has thought about it. The lint
keeps the obvious out; a template that wastes time in a way it misses is stopped by the limits of
the engine's container.

Branches on what a message says are refused unless the template's digest was reviewed
(`ArtifactRules.reviewed_templates`): some honest templates have them, for tool calls or reasoning.
"""

from dataclasses import dataclass, field

from jinja2 import TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from assay.artifact_files import refuse
from assay.chat_template_words import every, looks_into_words
from assay.errors import ArtifactError

_MAX_NODES = 3_000
_MAX_RANGE = 256
_MAX_LOOP_DEPTH = 3

_STATEMENTS = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Assign,
    nodes.AssignBlock, nodes.Macro, nodes.Break, nodes.Continue, nodes.ExprStmt,
)  # fmt: skip
_EXPRESSIONS = (
    nodes.Name, nodes.NSRef, nodes.Const, nodes.Tuple, nodes.List, nodes.Dict, nodes.Pair,
    nodes.Keyword, nodes.CondExpr, nodes.Filter, nodes.Test, nodes.Call, nodes.Getitem,
    nodes.Getattr, nodes.Slice, nodes.Concat, nodes.Compare, nodes.Operand, nodes.And, nodes.Or,
    nodes.Not, nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mod,
)  # fmt: skip
_FILTERS = frozenset({
    "trim", "length", "count", "tojson", "upper", "lower", "capitalize", "title", "join", "list",
    "first", "last", "string", "int", "default", "d", "selectattr", "rejectattr", "map", "items",
    "safe", "escape", "e", "unique", "replace", "reverse",
})  # fmt: skip
_TESTS = frozenset({
    "defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number",
    "boolean", "true", "false", "integer", "eq", "equalto", "ne", "in", "divisibleby", "even",
    "odd",
})  # fmt: skip
_FUNCTIONS = frozenset({"range", "namespace", "raise_exception", "strftime_now", "dict"})
_METHODS = frozenset({
    "strip", "lstrip", "rstrip", "split", "startswith", "endswith", "upper", "lower", "title",
    "items", "keys", "values", "get", "append",
})  # fmt: skip
_IMPLICIT = frozenset({"self", "varargs", "kwargs", "caller"})


def lint(source: str, *, name: str, reviewed: bool = False) -> None:
    """Checks a chat template.

    Args:
        source: the template's text.
        name: the file it is in, for the message.
        reviewed: whether somebody has read this very template, so that it may branch on what a
            message says.

    Raises:
        ArtifactError: names line and construct.
    """
    try:
        _check(_parsed(source, name), name, reviewed)
    except RecursionError:
        raise refuse("template-size", f"{name}: nested too deeply; simplify the template") from None


def _parsed(source: str, name: str) -> nodes.Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    try:
        return environment.parse(source)
    except TemplateSyntaxError as error:
        raise refuse(
            "template-syntax", f"{name}:{error.lineno}: not a chat template: {error.message}"
        ) from None


def _check(tree: nodes.Template, name: str, reviewed: bool) -> None:
    if sum(1 for _ in every(tree)) > _MAX_NODES:
        raise refuse("template-size", f"{name}: more than {_MAX_NODES} syntax nodes; shorten it")
    _Linter(name=name, macros=_macros(tree)).check(tree)
    for place in () if reviewed else looks_into_words(tree):
        raise _refused(
            "template-trigger",
            name,
            place,
            "decides something by what a message says",
            "remove that, or read the template and add its SHA-256 to the reviewed templates",
        )


def _macros(tree: nodes.Template) -> frozenset[str]:
    return frozenset(macro.name for macro in tree.find_all(nodes.Macro))


def _refused(code: str, name: str, node: nodes.Node, what: str, action: str) -> ArtifactError:
    return refuse(code, f"{name}:{node.lineno}: the chat template {what}; {action}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Linter:
    """Walks a template once, refusing what could reach outside or never end."""

    name: str
    macros: frozenset[str]
    _action: str = field(default="remove it from the template", init=False)

    def check(self, node: nodes.Node, loops: int = 0) -> None:
        if not isinstance(node, _STATEMENTS + _EXPRESSIONS):
            self._refuse("template-node", node, f"uses {type(node).__name__!r}")
        self._check_names(node)
        self._check_cost(node, loops)
        if isinstance(node, nodes.Call):
            self._check_call(node)
        inner = loops + isinstance(node, nodes.For)
        for child in node.iter_child_nodes():
            self.check(child, inner)

    def _refuse(self, code: str, node: nodes.Node, what: str) -> None:
        raise _refused(code, self.name, node, what, self._action)

    def _check_names(self, node: nodes.Node) -> None:
        private = _written_name(node)
        if private is not None and private.startswith("_"):
            self._refuse("template-private", node, f"names the private {private!r}")
        if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
            self._refuse("template-filter", node, f"uses the filter {node.name!r}")
        if isinstance(node, nodes.Test) and node.name not in _TESTS:
            self._refuse("template-test", node, f"uses the test {node.name!r}")

    def _check_cost(self, node: nodes.Node, loops: int) -> None:
        if isinstance(node, nodes.For) and (node.recursive or loops >= _MAX_LOOP_DEPTH):
            self._refuse("template-loop", node, "has a recursive loop or loops four deep")
        if isinstance(node, nodes.Macro):
            called = {call.node.name for call in node.find_all(nodes.Call)
                      if isinstance(call.node, nodes.Name)}  # fmt: skip
            if called & self.macros:
                self._refuse("template-loop", node, f"has a macro {node.name!r} that calls macros")
        if isinstance(node, nodes.Mod) and not (_counts(node.left) and _is_number(node.right)):
            self._refuse("template-format", node, "may format text with '%'")

    def _check_call(self, node: nodes.Call) -> None:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self._refuse("template-call", node, "calls with '*' arguments")
        target = node.node
        if isinstance(target, nodes.Getattr):
            if target.attr not in _METHODS:
                self._refuse("template-call", node, f"calls the method {target.attr!r}")
        elif not isinstance(target, nodes.Name) or target.name not in _FUNCTIONS | self.macros:
            called = target.name if isinstance(target, nodes.Name) else type(target).__name__
            self._refuse("template-call", node, f"calls {called!r}")
        elif target.name == "range":
            self._check_range(node)

    def _check_range(self, node: nodes.Call) -> None:
        for argument in node.args:
            measured = isinstance(argument, nodes.Filter) and argument.name in ("length", "count")
            counted = isinstance(argument, nodes.Const) and argument.value in range(_MAX_RANGE + 1)
            if not (measured or counted):
                self._refuse("template-range", node, f"counts to more than {_MAX_RANGE}")


def _written_name(node: nodes.Node) -> str | None:
    """The name that a node looks up, as far as it is written in the template."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    if isinstance(node, nodes.Name | nodes.NSRef):
        return f"_{node.name}" if node.name in _IMPLICIT else node.name
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        return node.value if node.value.startswith("__") else None
    return None


def _is_number(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Const) and isinstance(node.value, int)


def _counts(node: nodes.Node) -> bool:
    """Whether an expression can only be a number: made of numbers, lengths and `loop`."""
    names = (part.name for part in every(node) if isinstance(part, nodes.Name))
    texts = (part for part in every(node) if isinstance(part, nodes.Const))
    return all(name in ("loop", "messages") for name in names) and all(map(_is_number, texts))
