"""The reference pages of the documentation site, generated from the code that they describe.

Decides how the command line, the policy's schema and the evaluators are laid out as Markdown; what
they say is in the code's own help texts and docstrings.
"""

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from typer.main import get_command

from assay.cli import app
from evaluators.registry import available
from scripts.write_schemas import FOLDER


def command_line() -> str:
    """Returns every command with its arguments, options and example."""
    lines = [
        "# Command line",
        "",
        "Generated from the commands themselves (`assay COMMAND --help`).",
        "",
    ]
    for path, command in _commands("assay", get_command(app)):
        lines += [f"## {path}", "", _paragraphs(command.help or ""), ""]
        options = [_parameter(parameter) for parameter in command.params]
        if options:
            lines += ["| parameter | default | meaning |", "| --- | --- | --- |", *options, ""]
    return "\n".join(lines)


def policy() -> str:
    """Returns every field of `policy.yaml` from its JSON Schema."""
    lines = ["# policy.yaml", "", "Generated from the schema that the policy is checked by.", ""]
    return "\n".join(lines + list(_tables("policy", skip=("evaluators",)))) + (
        "\n\nThe options below `evaluators`: [Evaluators](evaluators.md).\n"
    )


def documents() -> str:
    """Returns the fields of the other files that a team edits."""
    lines = ["# Other files", "", "Generated from the schemas that the files are checked by.", ""]
    for name in ("task", "serving", "tune", "trust", "relabel", "review", "golden_case", "probe"):
        lines += [f"## {name}", "", f"[JSON Schema](../schemas/{name}.schema.json)", ""]
        lines += [*_tables(name), ""]
    return "\n".join(lines)


def evaluators() -> str:
    """Returns every evaluator with its unit, direction, version and options."""
    entries = _schema("policy")["properties"]["evaluators"]["properties"]
    lines = ["# Evaluators", "", "Generated from `evaluators/`; an evaluator's name is its key in "
             "`policy.yaml`.", ""]  # fmt: skip
    for name, kind in sorted(available().items()):
        module = inspect.getmodule(kind)
        lines += [f"## {name}", "", inspect.getdoc(module) or "", ""]
        about = f"Unit `{kind.unit}`, {kind.direction.replace('_', ' ')}, version {kind.version}."
        lines += [about, "", *_table(entries[name], entries[name].get("$defs", {})), ""]
    return "\n".join(lines)


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", {})
    if not children:
        yield path, command
    for name in children:
        yield from _commands(f"{path} {name}", children[name])


def _paragraphs(help_text: str) -> str:
    """Keeps paragraphs, and sets an example apart."""
    text = inspect.cleandoc(help_text)
    return re.sub(r"Example: (.+)", lambda found: f"Example: `{' '.join(found[1].split())}`",
                  text, flags=re.DOTALL)  # fmt: skip


def _parameter(parameter: Any) -> str:
    names = "`, `".join(parameter.opts) if parameter.opts[0].startswith("-") else parameter.name
    default = "required" if parameter.required else parameter.default
    shown = "" if default is None or default is False or callable(default) else f"`{default}`"
    annotation = parameter.type_descriptor.annotation
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    kind = f" One of {', '.join(f'`{one}`' for one in choices)}." if choices else ""
    return f"| `{names}` | {shown} | {_cell(parameter.help or '')}{kind} |"


def _schema(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.schema.json").read_text())
    return document


def _tables(name: str, skip: tuple[str, ...] = ()) -> Iterator[str]:
    schema = _schema(name)
    definitions = schema.get("$defs", {})
    yield from _table(schema, definitions, skip)
    for title, part in definitions.items():
        if part.get("properties"):
            yield from ("", f"### {title}", "", _cell(part.get("description", "")), "")
            yield from _table(part, definitions)


def _table(
    schema: dict[str, Any], definitions: dict[str, Any], skip: tuple[str, ...] = ()
) -> list[str]:
    rows = [
        f"| `{name}` | {_type(field)} | {_default(name, field, schema)} "
        f"| {_cell(field.get('description', ''))} |"
        for name, field in schema.get("properties", {}).items()
        if name not in skip
    ]
    if not rows:
        return ["No options."]
    return ["| field | type | default | meaning |", "| --- | --- | --- | --- |", *rows]


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(one) for one in field["anyOf"]))
    if "enum" in field or "const" in field:
        return ", ".join(f"`{one}`" for one in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {field[name]:g}" for name, sign in limits.items() if name in field]
    return ", ".join([str(field.get("type", "any")), *bounds])


def _default(name: str, field: dict[str, Any], schema: dict[str, Any]) -> str:
    if name in schema.get("required", ()):
        return "required"
    return f"`{json.dumps(field['default'])}`" if field.get("default") is not None else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


PAGES = {
    "reference/cli.md": command_line,
    "reference/policy.md": policy,
    "reference/files.md": documents,
    "reference/evaluators.md": evaluators,
}
"""Page of the site → what writes it."""
