"""`--junit` and `--summary`: what CI systems show, from fresh and from stored verdicts."""

from junitparser import Failure, JUnitXml

from tests.cli.conftest import Assay
from tests.cli.two_servers import Serve, endpoints, gate, knows
from tests.cli_desk import SECRET, Desk


def test_a_judgement_writes_both_and_its_document_stays_the_only_thing_on_stdout(
    assay: Assay, desk: Desk
) -> None:
    desk.write("candidate.jsonl", desk.answers(seed=1, fear="anger"))
    desk.write("summary.md", "Before.\n")
    done = assay(*desk.judge("--json", "--junit", "ci/junit.xml", "--summary", "summary.md"))
    assert done.code == 10
    (suite,) = JUnitXml.fromfile(str(desk.folder / "ci/junit.xml"))
    assert suite.tests == len(done.document["findings"])
    failed = {case.name for case in suite if any(isinstance(r, Failure) for r in case.result)}
    assert "emotion_f1/fear (non-inferiority)" in failed
    page = (desk.folder / "summary.md").read_text()
    assert page.startswith("Before.\n# block\n")
    assert SECRET not in page + (desk.folder / "ci/junit.xml").read_text()


def test_a_gate_writes_both_and_stored_evidence_gives_the_same_again(
    assay: Assay, project: Desk, serve: Serve
) -> None:
    servers = endpoints(serve(knows(project, fear="anger")), serve(knows(project)))
    files = ("--junit", "junit.xml", "--summary", "summary.md", "--report-dir", "out")
    assert assay(*gate(*servers, *files)).code == 10
    again = assay("explain", "out", "--junit", "again.xml", "--summary", "again.md")
    assert again.code == 0
    folder = str(project.folder / "out")
    for new, old in (("again.xml", "junit.xml"), ("again.md", "summary.md")):
        told, first = ((project.folder / name).read_text() for name in (new, old))
        assert told == first.replace(f"`{folder}`", "`out`").replace(
            f"verify {folder}", "verify out"
        )
