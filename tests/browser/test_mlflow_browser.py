"""The comparison that people make: MLflow's own pages in a real browser, on what gates recorded."""

from collections.abc import Iterator

import pytest

from tests import gate_rig, registry_rig
from tests.browser import mlflow_pages

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(
        mlflow_pages.CHROMIUM is None,
        reason="no Chromium: apt-get install chromium, or set CHROMIUM to one",
    ),
]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> mlflow_pages.Recorded:
    """Three gates in a file, as they are on a machine without a server."""
    return mlflow_pages.record_gates(tmp_path_factory.mktemp("gates"))


@pytest.fixture(scope="module")
def desk(
    recorded: mlflow_pages.Recorded, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[mlflow_pages.Desk]:
    """The browser before the server of `mlflow/serve.sh`; insists on a quiet console at the end."""
    with (
        registry_rig.serve_script(recorded.home) as uri,
        mlflow_pages.desk(uri, tmp_path_factory.mktemp("chromium-home")) as opened,
    ):
        yield opened
    assert opened.complaints == []


def test_the_two_runs_are_selected_and_compared_and_every_metric_shows_both_values(
    desk: mlflow_pages.Desk, recorded: mlflow_pages.Recorded
) -> None:
    page = mlflow_pages.compare(
        desk, recorded.experiment, "gate 1.2.0", ("candidate 1.2.0", "production 1.1.0")
    )
    metrics = recorded.verdict.metrics
    assert metrics["candidate"].keys() == metrics["production"].keys()
    shown = mlflow_pages.rows(page)
    for name, value in metrics["candidate"].items():
        found = [float(cell) for cell in shown[name]]
        expected = sorted((value, metrics["production"][name]))
        assert sorted(found) == pytest.approx(expected, abs=5e-4), name
    assert {"candidate 1.2.0", "production 1.1.0"} <= set(shown["Run Name:"])
    assert sorted(shown["version"]) == ["1.1.0", "1.2.0"]
    assert page.locator(".js-plotly-plot").first.is_visible()


def test_the_description_of_a_gate_leads_to_its_report(
    desk: mlflow_pages.Desk, recorded: mlflow_pages.Recorded
) -> None:
    page = desk.open(f"/#/experiments/{recorded.experiment}/runs/{recorded.run}")
    link = page.get_by_role("link", name="Report", exact=True).get_attribute("href")
    page = desk.open(f"/{link}")
    report = page.frame_locator("iframe")
    assert "must not replace" in report.locator(".summary").inner_text()
    assert report.locator("h1").inner_text().split() == ["Block"]


def test_the_model_page_shows_the_aliases_and_how_production_moved(
    desk: mlflow_pages.Desk,
) -> None:
    page = desk.open(f"/#/models/{gate_rig.MODEL}")
    told = page.get_by_test_id("note-editor-preview-content")
    told.get_by_role("cell", name="previous-production").wait_for()
    text = told.inner_text()
    assert "1.0.0 → 1.1.0" in text
    assert "nothing → 1.0.0" in text
    row = told.get_by_role("row", name="candidate 1.2.0 (version 3) block")
    assert "/runs/" in row.get_by_role("link").get_attribute("href")


def test_a_move_back_on_the_model_page_leads_to_its_record(desk: mlflow_pages.Desk) -> None:
    page = desk.open(f"/#/models/{gate_rig.MODEL}")
    told = page.get_by_test_id("note-editor-preview-content")
    moved = told.get_by_role("listitem").filter(has_text="1.1.0 → 1.0.0")
    assert "fear is missed" in moved.inner_text()
    page = desk.open(f"/{moved.get_by_role('link').get_attribute('href')}")
    page.get_by_text("rollback 1.1.0 to 1.0.0").wait_for()
    assert page.get_by_text("gate 1.2.0").count() == 0
