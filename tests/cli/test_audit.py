"""`assay audit`: what is printed, and how it exits."""

from tests.assay.test_serving_audit import GOOD_COMPOSE
from tests.cli.conftest import Assay
from tests.cli_desk import Desk


def test_a_file_that_keeps_the_rules_exits_0(assay: Assay, desk: Desk) -> None:
    desk.write("compose.yaml", GOOD_COMPOSE)
    done = assay("audit", "compose.yaml", "--json")
    assert (done.code, done.document) == (0, {"engines": 1, "findings": []})


def test_broken_rules_are_printed_with_file_and_line_and_exit_10(assay: Assay, desk: Desk) -> None:
    desk.write("good.yaml", GOOD_COMPOSE)
    desk.write("bad.yaml", GOOD_COMPOSE.replace("v0.32.0", "v0.6.6"))
    done = assay("audit", "good.yaml", "bad.yaml")
    assert done.code == 10
    assert done.out.startswith("bad.yaml:3: engine-version: service 'model' has vLLM 0.6.6: ")
    document = assay("audit", "good.yaml", "bad.yaml", "--json").document
    assert document["engines"] == 2
    assert [one["rule"] for one in document["findings"]] == ["engine-version"]


def test_a_file_without_an_engine_is_a_wrong_request(assay: Assay, desk: Desk) -> None:
    desk.write("compose.yaml", "services:\n  db: {image: postgres}\n")
    done = assay("audit", "compose.yaml", "--json")
    assert done.code == 2
    assert "no container that runs vLLM" in done.error
    assert assay("audit", "nowhere.yaml", "--json").code == 2
