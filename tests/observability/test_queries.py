"""The dashboard and the alerts ask only for what gates really export, and Prometheus answers."""

import re
import subprocess
from collections import defaultdict
from pathlib import Path

import promql_parser as promql
import pytest
from prometheus_client.parser import text_string_to_metric_families

from flows.watch_wiring import watch_for
from tests.gate_rig import make_rig
from tests.observability.queries import (
    ALERT_TESTS,
    ALERTS,
    Query,
    alert_queries,
    alert_rules,
    dashboard,
    dashboard_queries,
    grouping_labels,
    selectors,
    variable_queries,
)
from tests.observability.tools import PROMTOOL, needs_promtool

GIVEN_BY_SCRAPING = {"instance", "job"}
Labels = dict[str, dict[str, set[str]]]
"""Of each series' name, its labels, and of each label its values."""


QUERIES = [*dashboard_queries(), *alert_queries()]
every_query = pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Labels:
    """What real gates have exported: a refused first release, two promotes and a block."""
    folder = tmp_path_factory.mktemp("gates")
    rig, text = make_rig(folder), folder / "assay.prom"
    rig.watch = watch_for(rig.settings, {"ASSAY_METRICS_TEXTFILE": str(text)}, linger_s=30)
    rig.gate("1.0.0", first="refuse")
    rig.watch.close()
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        rig.gate(version)
        rig.watch.close()
    found: Labels = defaultdict(lambda: defaultdict(set))
    for family in text_string_to_metric_families(text.read_text()):
        for sample in family.samples:
            for label, value in sample.labels.items():
                found[sample.name][label].add(value)
    return found


@every_query
def test_every_metric_that_is_asked_for_is_exported(query: Query, exported: Labels) -> None:
    names = [selector.name for selector in selectors(query.expr)]
    assert names
    assert set(names) <= set(exported)


@every_query
def test_every_label_that_is_asked_for_is_on_its_metric(query: Query, exported: Labels) -> None:
    on_all: list[set[str]] = []
    for selector in selectors(query.expr):
        labels = set(exported[selector.name])
        assert {matcher.name for matcher in selector.matchers.matchers} <= labels
        on_all.append(labels)
    known = set.intersection(*on_all) | GIVEN_BY_SCRAPING
    assert grouping_labels(query.expr) | query.shown <= known


@every_query
def test_every_value_that_is_asked_for_exists(query: Query, exported: Labels) -> None:
    for selector in selectors(query.expr):
        for matcher in selector.matchers.matchers:
            values = exported[selector.name][matcher.name]
            if matcher.op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual):
                wanted = [matcher.value]
            elif matcher.value == ".*":
                continue
            else:
                wanted = matcher.value.split("|")
            # Steps fail in no gate of this test, so what they would say is not among its values.
            if selector.name.startswith("assay_gate_step"):
                values = values | {"ok", "rejected", "error", "interrupted"}
            assert set(wanted) <= values, (selector.name, matcher.name)


def test_the_variables_of_the_dashboard_are_filled(exported: Labels) -> None:
    variables = variable_queries()
    assert variables
    for metric, label in variables:
        assert exported[metric][label]


def test_the_parser_sees_through_a_wrong_metric_and_a_wrong_label(exported: Labels) -> None:
    wrong = "sum by (verdict) (rate(assay_gate_total{modell='x'}[5m])) > on (pod) up"
    assert {one.name for one in selectors(wrong)} == {"assay_gate_total", "up"}
    assert not {one.name for one in selectors(wrong)} & set(exported)
    assert grouping_labels(wrong) == {"verdict", "pod"}
    assert [m.name for one in selectors(wrong) for m in one.matchers.matchers] == ["modell"]


def test_every_panel_says_what_it_shows_and_has_its_own_place() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        assert len(panel["description"]) > 20
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not taken & cells
        assert place["x"] + place["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(ids)) == len(ids)


def test_every_exported_metric_is_shown_or_alerted_on(exported: Labels) -> None:
    asked = {one.name for query in QUERIES for one in selectors(query.expr)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported}
    assert families == {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in alert_rules():
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_a_blocked_candidate_alerts_nobody() -> None:
    for query in alert_queries():
        for selector in selectors(query.expr):
            for matcher in selector.matchers.matchers:
                assert "block" not in matcher.value


@needs_promtool
def test_promtool_accepts_the_rules_and_they_fire_when_they_should() -> None:
    for command in (["check", "rules", str(ALERTS)], ["test", "rules", str(ALERT_TESTS)]):
        done = subprocess.run(
            [str(PROMTOOL), *command], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "SUCCESS" in done.stdout


def test_the_page_about_metrics_lists_those_that_are_exported(exported: Labels) -> None:
    page = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()
    listed = set(re.findall(r"^\| `(assay_gate_\w+)` \|", page, flags=re.MULTILINE))
    assert listed == {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported}
