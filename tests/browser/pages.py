"""What every page of ours is looked at with: two widths, and axe-core."""

from typing import Any

import pytest

DESK, PHONE = {"width": 1200, "height": 900}, {"width": 380, "height": 800}


def serious_faults(page: Any) -> list[tuple[str, list[Any]]]:
    """Returns what axe-core finds serious or critical: the rule and where it is broken."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs the package axe-playwright-python"
    )
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 10, "axe looked at the page"
    return [
        (item["id"], [node["target"] for node in item["nodes"]][:3])
        for item in found["violations"]
        if item["impact"] in ("serious", "critical")
    ]
