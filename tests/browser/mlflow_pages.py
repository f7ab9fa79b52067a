"""MLflow's pages, as a person uses them; run as a module, it draws the documentation's picture.

Run `python -m tests.browser.mlflow_pages docs/img` after a change of what a gate records.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from assay.adapters.registry_mlflow import MlflowRegistry
from assay.records import Verdict
from flows.rollback import roll_back
from tests import gate_rig, registry_rig

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
NOT_OURS = (
    # Who is logged in: a server without passwords has no such page, and MLflow asks all the same.
    "/users/current",
    # A version's schema: MLflow looks for one beside weights, which lie in the trusted store.
    "path=MLmodel",
    # MLflow's own counting of clicks, which DO_NOT_TRACK has turned off.
    "TelemetryLogger",
)
WAIT_MS = 15_000
MOVE_BACK = "20261123T151200Z-0000000f"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Gates in the file of a home folder; `run` and `verdict` are of 1.2.0, which was blocked."""

    home: Path
    experiment: str
    run: str
    verdict: Verdict


def record_gates(folder: Path) -> Recorded:
    """Runs the gates of three versions and moves production back; MLflow's file records it all."""
    rig = gate_rig.make_rig(folder)
    home = rig.settings.home
    uri = f"sqlite:///{home / 'mlflow.db'}"
    registry = MlflowRegistry(uri, folder / "locks", rig.registry.gatekeeper)
    rig.registry = registry  # type: ignore[assignment]
    for version in ("1.0.0", "1.1.0"):
        rig.gate(version)
    blocked = rig.gate("1.2.0")
    assert blocked.recorded_as is not None
    roll_back(
        gate_rig.MODEL, "1.0.0", reason="fear is missed", run_id=MOVE_BACK, settings=rig.settings,
        ports=rig.rollback_ports(), progress=rig.said.append,
    )  # fmt: skip
    from mlflow import MlflowClient

    run = MlflowClient(tracking_uri=uri).get_run(blocked.recorded_as)
    return Recorded(
        home=home,
        experiment=run.info.experiment_id,
        run=blocked.recorded_as,
        verdict=blocked.verdict,
    )


@dataclass(slots=True)
class Desk:
    """A browser before one server; `complaints` are errors on its console that are not MLflow's."""

    uri: str
    browser: Any
    complaints: list[str] = field(default_factory=list)

    def open(self, address: str) -> Any:
        """Opens an address of the server in a page of its own."""
        page = self.browser.new_page(viewport={"width": 1500, "height": 1400})
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._hear(message))
        page.goto(self.uri + address)
        return page

    def _hear(self, message: Any) -> None:
        told = f"{message.text} {message.location['url']}"
        # The browser itself remarks on layouts that settle in two steps.
        harmless = "ResizeObserver loop" in told or any(part in told for part in NOT_OURS)
        if message.type == "error" and not harmless:
            self.complaints.append(told)


@contextmanager
def desk(uri: str, home: Path) -> Iterator[Desk]:
    """Starts a browser whose files lie in `home`."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=CHROMIUM, args=ARGUMENTS, env={**os.environ, "HOME": str(home)}
        )
        yield Desk(uri, running)
        running.close()


def compare(desk: Desk, experiment: str, gate: str, children: Sequence[str]) -> Any:
    """Selects the child runs of a gate in the list of runs and presses Compare."""
    page = desk.open(f"/#/experiments/{experiment}/runs")
    page.get_by_text(gate).wait_for()
    close_assistant(page)
    row(page, gate).get_by_role("button").first.click()
    for child in children:
        row(page, child).locator(".ag-checkbox-input").check()
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_text("Comparing 2 Runs from 1 Experiment").wait_for()
    page.locator(".js-plotly-plot").first.wait_for()
    return page


def row(page: Any, run: str) -> Any:
    """Returns the row of a run in the list of runs."""
    return page.locator(".ag-row").filter(has_text=run)


def close_assistant(page: Any) -> None:
    """Closes the panel that MLflow opens for questions, which covers a third of a page."""
    panel = page.get_by_role("button", name="Close", exact=True)
    if panel.count():
        panel.first.click()


def rows(page: Any) -> dict[str, list[str]]:
    """Returns the rows of the comparison's tables: name → the value of each run, left to right.

    MLflow draws the metrics as cells at positions, so a row is what lies at one height.
    """
    cells = page.locator("tr > *, .ReactVirtualized__Grid__innerScrollContainer > *")
    placed = cells.evaluate_all(
        "all => all.map(e => [e.getBoundingClientRect(), e.innerText.trim()])"
        ".map(([box, text]) => [Math.round(box.y), box.x, text])"
    )
    lines: dict[int, list[str]] = {}
    for height, _, text in sorted(placed):
        lines.setdefault(height, []).append(text)
    return {line[0]: line[1:] for line in lines.values() if len(line) > 1}


def main(folder: Path) -> None:
    """Draws the comparison of the blocked version with production."""
    with tempfile.TemporaryDirectory() as place:
        recorded = record_gates(Path(place))
        with (
            registry_rig.serve_script(recorded.home) as uri,
            desk(uri, Path(place)) as opened,
        ):
            page = compare(
                opened, recorded.experiment, "gate 1.2.0", ("candidate 1.2.0", "production 1.1.0")
            )
            page.get_by_text("Show diff only").first.click()
            page.get_by_text("confusion.png").click()
            page.set_viewport_size({"width": 1500, "height": 2000})
            page.locator("img.rc-image-img").first.wait_for(state="attached")
            page.wait_for_timeout(2000)  # the pictures and the chart settle
            shown = {"x": 0, "y": 0, "width": 1500, "height": 1130}  # below it is an empty frame
            page.screenshot(path=folder / "mlflow-compare.png", clip=shown)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
