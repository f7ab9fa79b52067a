"""Draws the pictures of the report that the documentation shows.

Run `python -m tests.browser.pictures docs/img` after a change of the report's looks; the sample is
synthetic (tests/report_sample.py).
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from assay.report import write_report
from tests.report_sample import sample

SHOTS = {
    "report-light": ("light", 1200, 1500),
    "report-dark": ("dark", 1200, 1500),
    "report-phone": ("light", 380, 1500),
}


def main(folder: Path) -> None:
    """Writes one PNG a theme and width."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        sys.exit("no Chromium: apt-get install chromium, or set CHROMIUM to one")
    judgement = sample(broken="fear")
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        report = Path(home) / "report.html"
        write_report(report, judgement.verdict, judgement.tables)
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--headless", "--no-sandbox", "--disable-gpu"],
            env={**os.environ, "HOME": home},
        )
        for name, (scheme, width, height) in SHOTS.items():
            page = browser.new_page(
                color_scheme=scheme, viewport={"width": width, "height": height}
            )
            page.goto(report.as_uri())
            page.screenshot(path=folder / f"{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
