"""The page on load says what the committed results say, and the results hold what they must."""

import json

from bench.load import targets
from bench.load_report import PAGE, RESULTS, filled


def test_the_page_on_load_shows_the_committed_results() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page) == page


def test_every_target_that_is_stored_follows_from_the_stored_rows() -> None:
    result = json.loads((RESULTS / "load.json").read_text())
    assert result["targets"] == targets(result["rows"])
    assert all(target["met"] is not None for target in result["targets"])


def test_the_reported_percentiles_were_the_engines_and_the_errors_all_counted() -> None:
    study = json.loads((RESULTS / "load_truth.json").read_text())
    for name, model in study["models"].items():
        assert model["errors_agree"], name
        assert len(model["percentiles"]) == 20
        for row in model["percentiles"]:
            error = abs(row["reported_ms"] - row["true_ms"])
            assert error <= max(1.0, 0.02 * row["true_ms"]), (name, row)


def test_a_peer_that_was_not_measured_is_named() -> None:
    result = json.loads((RESULTS / "load.json").read_text())
    measured = {row["client"] for row in result["rows"]}
    assert not measured & set(result["missing"])
    assert "MLCommons endpoints" in result["missing"]
