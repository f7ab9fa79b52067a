"""The page about a golden set's health in a real browser: both themes, desk, phone and paper."""

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from assay.golden_frozen import describe_frozen
from assay.golden_health.answers import ModelAnswers
from assay.golden_health.assess import Known, assess
from assay.golden_health.drift import Sample
from assay.golden_health.health import Health
from assay.golden_health.page import write_page
from assay.golden_health.provenance import Provenance
from assay.golden_health.rules import HealthRules
from assay.golden_health.support import Demand
from assay.golden_manifest import BaseVersion, GoldenPredicate
from assay.golden_set import GoldenSet, golden_digest
from assay.records import Annotation, AnswerStatus, GoldenCase, Prediction
from tests.browser.pages import DESK, PHONE, serious_faults
from tests.golden_examples import cases, probes

LABELS = ("joy", "anger", "fear")
NAMES = ("healthy", "unhealthy", "bare")
DIGEST = f"sha256:{'ab' * 32}"

pytestmark = pytest.mark.browser


def words(number: int, count: int = 8) -> str:
    """Words of its own for each number."""
    chance = random.Random(number)
    return " ".join("".join(chance.choices("aeioulmnrst", k=6)) for _ in range(count))


def golden(count: int) -> GoldenSet:
    """A balanced set whose labels two people agree on, nearly always."""
    made = []
    for at, case in enumerate(cases(count)):
        label, other = LABELS[at % 3], LABELS[(at + 1) % 3]
        second = other if at % 25 == 0 else label
        made.append(
            replace(
                case,
                id=f"c-{at:04}",
                text=words(at),
                label=label,
                annotations=(
                    Annotation(annotator="a", label=label),
                    Annotation(annotator="b", label=second),
                ),
            )
        )
    return of(tuple(made))


def of(made: tuple[GoldenCase, ...]) -> GoldenSet:
    return GoldenSet(cases=made, digest=golden_digest(made), revision="golden-v1.1.0")


def model(name: str, found: GoldenSet, right: int) -> ModelAnswers:
    """A model that errs on every case whose number `right` divides."""
    answers = {}
    for at, case in enumerate(found.cases):
        label = case.label if at % right else LABELS[(at + 1) % 3]
        answers[case.id] = Prediction(
            case_id=case.id, label=label, status=AnswerStatus.OK, raw=label
        )
    return ModelAnswers(model=name, answers=answers)


def published(found: GoldenSet) -> Provenance:
    """A manifest as somebody trusted signed it."""
    frozen = describe_frozen("1.1.0", found.cases, probes(1))
    stated = GoldenPredicate(
        frozen=frozen,
        base=BaseVersion(version="1.0.0", digest=DIGEST),
        files={},
        changes={"added": 60},
        why="more fear",
        who="ada",
        proposal=DIGEST,
        signed_at=datetime(2026, 5, 1, tzinfo=UTC),
    )
    return Provenance(stated=stated)


def traffic(found: GoldenSet, shift: int) -> Sample:
    """A sample like the set (0), or of other words, labels and languages."""
    other = shift > 0
    return Sample(
        texts=[words(at + shift, 8 + 8 * other) for at in range(found.size)],
        labels=["surprise" if other else case.label for case in found.cases],
        languages=["de" if other else case.lang for case in found.cases],
    )


def kinds() -> Mapping[str, Health]:
    """One health of every kind: all fit, nothing fit, and nothing known."""
    good, today = golden(450), date(2026, 6, 1)
    demand = Demand(
        margins=dict.fromkeys(LABELS, 0.2),
        minimum=50,
        alpha=0.05,
        tests=4,
        few=0.05,
        many=0.2,
        level=0.7,
    )
    certain = [{case.id: {case.label: 0.9, "joy": 0.1} for case in good.cases} for _ in range(3)]
    fit = Known(
        structure=(),
        today=today,
        demand=demand,
        uses=7,
        dates={"1.0.0": date(2026, 5, 1)},
        models=[model(f"emotion 1.{n}.0", good, 7 + n) for n in range(3)],
        probabilities=certain,
        traffic=traffic(good, 0),
        provenance=published(good),
    )
    copies = of(tuple(replace(case, text=words(at % 90)) for at, case in enumerate(good.cases)))
    spent = replace(
        fit,
        demand=replace(demand, minimum=1000),
        uses=900,
        dates={"1.0.0": date(2020, 5, 1)},
        models=[model(f"emotion 1.{n}.0", copies, 2) for n in range(3)],
        traffic=traffic(copies, 5000),
        provenance=Provenance(
            fault=f"golden_data/golden.manifest.json: is the manifest of version '1.0.0' with "
            f"{DIGEST}; expected '1.1.0' with {DIGEST}; restore both [golden-manifest]"
        ),
    )
    rules = HealthRules()
    return {
        "healthy": assess(good, LABELS, fit, rules),
        "unhealthy": assess(copies, (*LABELS, "disgust"), spent, rules),
        "bare": assess(golden(30), LABELS, Known(structure=(), today=today), rules),
    }


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of every kind, by name."""
    folder = tmp_path_factory.mktemp("health")
    paths = {name: folder / f"{name}.html" for name in NAMES}
    for name, health in kinds().items():
        write_page(paths[name], health)
    return paths


def unfold(page: Any) -> None:
    for details in page.locator("details").all():
        details.evaluate("element => { element.open = true }")


def test_the_samples_are_what_their_names_say() -> None:
    found = kinds()
    assert {name: health.healthy for name, health in found.items()} == {
        "healthy": True,
        "unhealthy": False,
        "bare": True,
    }
    areas = {check.area for check in found["unhealthy"].failed}
    assert areas >= {"provenance", "structure", "labels", "power", "answers", "wear", "traffic"}
    assert len(found["bare"].undecided) > 5


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_without_a_word_on_the_console_or_the_network(opened: Any, name: str) -> None:
    page = opened(name)
    heading = page.locator("h1")
    assert heading.count() == 1
    assert heading.inner_text() == ("Not healthy" if name == "unhealthy" else "Healthy")
    assert page.title().endswith("· Assay")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_nothing_serious(
    opened: Any, name: str, scheme: str, viewport: dict[str, int]
) -> None:
    page = opened(name, color_scheme=scheme, viewport=viewport)
    unfold(page)
    assert serious_faults(page) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [320, 380, 768, 1024, 1600])
def test_nothing_sticks_out_sideways(opened: Any, name: str, width: int) -> None:
    page = opened(name, viewport={"width": width, "height": 800})
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_themes_differ_in_the_page_and_in_its_plots_and_paper_is_light(opened: Any) -> None:
    def colours(page: Any) -> tuple[str, str]:
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        bar = page.locator("figure svg [style*='var(--']").first
        drawn = bar.evaluate("mark => getComputedStyle(mark).fill + getComputedStyle(mark).stroke")
        return str(background), str(drawn)

    light = colours(opened("unhealthy", color_scheme="light"))
    dark = opened("unhealthy", color_scheme="dark")
    assert colours(dark)[0] != light[0]
    assert colours(dark)[1] != light[1]
    dark.emulate_media(media="print")
    assert colours(dark)[0] == light[0]


def test_what_failed_is_said_first_and_the_glance_leads_to_it(opened: Any) -> None:
    page = opened("unhealthy")
    steps = page.locator(".steps li").all_inner_texts()
    assert any("provenance/manifest" in step for step in steps)
    page.get_by_role("navigation").get_by_role("link", name="Who published it").click()
    assert page.url.endswith("#provenance")
    assert page.get_by_role("heading", name="Who published it").is_visible()


def test_every_plot_is_told_to_those_who_do_not_see_it(opened: Any) -> None:
    page = opened("unhealthy")
    plots = page.locator("figure [role=img]")
    assert plots.count() >= 4
    for plot in plots.all():
        assert plot.get_attribute("aria-label")
        assert plot.bounding_box()["width"] > 100
