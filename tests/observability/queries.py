"""What the dashboard and the alert rules ask for, read from the files that users import."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser as promql
import yaml

FOLDER = Path(__file__).parents[2] / "observability"
DASHBOARD = FOLDER / "grafana" / "assay-gate.json"
ALERTS = FOLDER / "alerts.yaml"
ALERT_TESTS = FOLDER / "alerts_test.yaml"
_LABEL_VALUES = re.compile(r"label_values\((\w+), (\w+)\)")
_IN_TEXT = re.compile(r"\$labels\.(\w+)|\{\{ ?(\w+) ?\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One expression; `shown` are the labels that its legend or its words name."""

    where: str
    expr: str
    shown: frozenset[str]


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    value = json.loads(DASHBOARD.read_text())
    assert isinstance(value, dict)
    return value


def dashboard_queries() -> list[Query]:
    """Every panel's expressions, with Grafana's variables set as they are at first."""
    return [
        Query(
            where=f"{panel['title']} {target['refId']}",
            expr=target["expr"].replace("$model", ".*"),
            shown=_labels(target["legendFormat"]),
        )
        for panel in dashboard()["panels"]
        for target in panel["targets"]
    ]


def variable_queries() -> list[tuple[str, str]]:
    """The metric and the label of each variable that is filled by a query."""
    texts = [
        variable["query"]["query"]
        for variable in dashboard()["templating"]["list"]
        if variable["type"] == "query"
    ]
    return [
        (found[1], found[2])
        for text in texts
        if (found := _LABEL_VALUES.fullmatch(text)) is not None
    ]


def alert_rules() -> list[dict[str, Any]]:
    """The alert rules as Prometheus loads them."""
    return [
        rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
    ]


def alert_queries() -> list[Query]:
    """Every rule's expression."""
    return [
        Query(
            where=rule["alert"],
            expr=rule["expr"],
            shown=_labels(" ".join(rule["annotations"].values())),
        )
        for rule in alert_rules()
    ]


def nodes(expr: str) -> Iterator[Any]:
    """Every node of an expression's tree."""
    found: list[Any] = []
    promql.walk(promql.parse(expr), found.append)
    yield from found


def selectors(expr: str) -> list[Any]:
    """The series that an expression selects."""
    return [node for node in nodes(expr) if isinstance(node, promql.VectorSelector)]


def grouping_labels(expr: str) -> set[str]:
    """The labels by which an expression groups or matches."""
    found: set[str] = set()
    for node in nodes(expr):
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            found |= set(node.modifier.labels)
        if isinstance(node, promql.BinaryExpr) and node.modifier is not None:
            matching = node.modifier.matching
            found |= set(matching.labels) if matching is not None else set()
    return found


def _labels(text: str) -> frozenset[str]:
    return frozenset(a or b for a, b in _IN_TEXT.findall(text)) - {"value"}
