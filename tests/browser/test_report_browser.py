"""The report in a real browser: both themes, desk, phone and paper, keyboard and screen reader."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from assay import refusal
from assay.records import Problem
from assay.report import write_report
from tests.browser.pages import DESK, PHONE, serious_faults
from tests.report_sample import context, sample

NAMES = ("block", "inconclusive", "first_release", "invalid", "refused")

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One report of every kind, by name."""
    folder = tmp_path_factory.mktemp("reports")
    problem = Problem(where="engine", reason="it died while loading.", action="give it memory.")
    unmeasured = refusal.unmeasured(context(problems=(problem,)))
    refused = refusal.rejected(context(candidate=None), "model.sig: wrong key; expected `a1`")
    judged = {
        "block": sample(broken="fear"),
        "inconclusive": sample(per_class=40),
        "first_release": sample(first_release=True),
    }
    paths = {name: folder / f"{name}.html" for name in NAMES}
    for name, judgement in judged.items():
        write_report(paths[name], judgement.verdict, judgement.tables)
    write_report(paths["invalid"], unmeasured, {})
    write_report(paths["refused"], refused, {})
    return paths


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_without_a_word_on_the_console_or_the_network(opened: Any, name: str) -> None:
    page = opened(name)
    assert page.locator("h1").count() == 1
    assert page.locator("h1").is_visible()
    assert page.title().endswith("· Assay")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing_serious(
    opened: Any, name: str, scheme: str, viewport: dict[str, int]
) -> None:
    page = opened(name, color_scheme=scheme, viewport=viewport)
    for details in page.locator("details").all():
        details.evaluate("element => { element.open = true }")
    assert serious_faults(page) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [320, 380, 768, 1024, 1600])
def test_nothing_sticks_out_sideways(opened: Any, name: str, width: int) -> None:
    page = opened(name, viewport={"width": width, "height": 800})
    for details in page.locator("details").all():
        details.evaluate("element => { element.open = true }")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_a_findings_numbers_keep_their_names_at_every_width(
    opened: Any, viewport: dict[str, int]
) -> None:
    page = opened("block", viewport=viewport)
    row = page.get_by_role("row").filter(has_text="fear").first
    assert row.get_by_role("rowheader").inner_text().split() == ["fear", "failed"]
    drawn = row.locator("svg.strip")
    assert drawn.is_visible()
    assert drawn.bounding_box()["width"] >= 250
    label = row.locator("td.num").nth(1)
    shown = label.evaluate("cell => getComputedStyle(cell, '::before').content")
    header = page.locator(".findings").first.get_by_role("columnheader", name="Production")
    assert (header.bounding_box()["width"] > 1) is (viewport is DESK)
    assert ("Production" in shown) is (viewport is PHONE)


def test_the_themes_differ_and_paper_is_always_light(opened: Any) -> None:
    def background(page: Any) -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = background(opened("block", color_scheme="light"))
    dark = opened("block", color_scheme="dark")
    assert background(dark) != light
    dark.emulate_media(media="print")
    assert background(dark) == light


def test_the_pictures_take_the_themes_colours(opened: Any) -> None:
    colours = {
        opened("block", color_scheme=scheme)
        .locator("tr:has-text('fear') svg.strip path[style*='failed']")
        .first.evaluate("path => getComputedStyle(path).stroke")
        for scheme in ("light", "dark")
    }
    assert len(colours) == 2
    assert "none" not in colours


def test_it_prints_on_a4_with_everything_unfolded(opened: Any, tmp_path: Path) -> None:
    page = opened("block")
    path = tmp_path / "report.pdf"
    page.pdf(path=path, prefer_css_page_size=True)
    printed = path.read_bytes()
    assert printed.startswith(b"%PDF")
    assert b"/MediaBox [0 0 595" in printed or b"/MediaBox [0 0 594.95" in printed
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 680, "height": 960})
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    for folded in page.locator("details:not([open]) table").all():
        assert folded.bounding_box()["height"] > 50
    for icon in page.locator(".findings .status svg").all():
        assert icon.bounding_box()["width"] < 20


def test_a_keyboard_reaches_the_findings_and_the_folded_parts(opened: Any) -> None:
    page = opened("block")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details").first.get_attribute("open") is not None


def test_landmarks_and_headings_tell_the_page_without_eyes(opened: Any) -> None:
    page = opened("block")
    for landmark in ("banner", "main", "contentinfo", "navigation"):
        assert page.get_by_role(landmark).count() == 1
    levels = page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))"
    )
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    plot = page.get_by_role("img", name="Time to the first token")
    assert "half within" in plot.get_attribute("aria-label")


def test_markup_in_a_name_is_shown_and_never_run(
    browser: Any, tmp_path: Path, reports: dict[str, Path]
) -> None:
    verdict = sample(per_class=40).verdict
    evil = "<img src=x onerror='document.title=1'><script>document.title=2</script>"
    finding = replace(verdict.findings[0], label=evil, reason=evil)
    path = tmp_path / "evil.html"
    write_report(path, replace(verdict, summary=evil, findings=(finding,)), {})
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.title().endswith("· Assay")
    assert page.locator("img, script").count() == 0
    assert evil in page.locator(".summary").inner_text()
    page.close()
