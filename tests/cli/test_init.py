"""`assay init`: three documents or none, which the gate reads, tried on a server that runs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.serving_profile import load_serving
from assay.task import load_task
from flows import project_init
from flows.project_init import FILES, InitRequest
from tests.cli.conftest import Assay
from tests.cli.two_servers import knows
from tests.cli_desk import SECRET, Desk
from tests.openai_server import Fail, OpenAIServer, Say

Serve = Callable[..., OpenAIServer]
ROOT = Path(__file__).parents[2]


def there(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_the_documents_hold_what_the_golden_file_says_and_pass_the_policys_check(
    assay: Assay, desk: Desk
) -> None:
    done = assay("init", "mine", "--golden", "golden.jsonl", "--name", "mood", "--json")
    assert (done.code, done.document["ready"]) == (0, None)
    assert there(desk.folder / "mine") == set(FILES)
    task = load_task(desk.folder / "mine" / "task.yaml")
    assert (task.name, task.labels) == ("mood", ("anger", "fear", "joy"))
    assert load_serving(desk.folder / "mine" / "serving.yaml").profile("cpu") == (
        load_serving(ROOT / "serving.yaml").profile("cpu")
    )
    policy = (desk.folder / "mine" / "policy.yaml").read_text()
    assert "lang_en: 0.08, lang_vi: 0.08" in policy
    assert "has 100 cases." in policy
    checked = assay(
        "policy", "check", "mine/policy.yaml", "--task", "mine/task.yaml",
        "--golden", "golden.jsonl", "--json",
    )  # fmt: skip
    assert checked.code == 0, checked.err
    assert SECRET not in done.out + done.err + policy


def test_what_stands_in_comments_is_right_once_it_is_let_in(assay: Assay, desk: Desk) -> None:
    assay("init", "mine", "--golden", "golden.jsonl")
    path = desk.folder / "mine" / "policy.yaml"
    text = path.read_text()
    for name in ("margins:", "advisory:", "slices:", "toxicity:", "  scorer:", "  threshold:",
                 "  max_rate:", "  margin: 0.05", "freeze_windows:", "promotion:",
                 "  unsigned:", "  valid_days:", "  approvals:"):  # fmt: skip
        assert text.count(f"# {name}") == 1, name
        text = text.replace(f"# {name}", name)
    text = text.replace("#   - {start", "  - {start").replace("# toxicity", "toxicity")
    path.write_text(text)
    checked = assay(
        "policy", "check", "mine/policy.yaml", "--task", "mine/task.yaml", "--golden",
        "golden.jsonl",
    )  # fmt: skip
    assert checked.code == 0, checked.err


@pytest.mark.parametrize(
    "labels",
    [["yes", "no"], ["[a]", "b: c", "#d", "null", "1"], ["rất tốt", '"quoted"', "back\\slash"]],
)
def test_labels_of_any_words_come_back_as_they_were(
    assay: Assay, desk: Desk, labels: list[str]
) -> None:
    given = [word for label in labels for word in ("--label", label)]
    assert assay("init", "mine", *given, "--readiness-text", 'a "b" {c}: #d').code == 0
    task = load_task(desk.folder / "mine" / "task.yaml")
    assert (list(task.labels), task.readiness_text) == (labels, 'a "b" {c}: #d')
    assert task.name == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--label"),
        (["--label", "joy"], "labels"),
        (["--label", "joy", "--label", "Joy"], "labels must differ"),
        (["--label", "joy", "--label", "fear", "--language", "en\n: x"], "--language"),
        (["--golden", "golden.jsonl", "--label", "joy", "--label", "glee"], "anger"),
        (["--golden", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--golden", "policy.yaml"], "policy.yaml"),
        (["--only-try"], "--endpoint"),
    ],
)
def test_what_cannot_be_right_writes_nothing(
    assay: Assay, desk: Desk, arguments: list[str], words: str
) -> None:
    done = assay("init", "mine", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert there(desk.folder / "mine") == set()


def test_what_is_there_stays_unless_it_is_to_be_replaced(assay: Assay, desk: Desk) -> None:
    before = {name: (desk.folder / name).read_bytes() for name in FILES}
    (desk.folder / "task.yaml").unlink()
    refused = assay("init", ".", "--label", "a", "--label", "b")
    assert refused.code == 2
    assert "policy.yaml: exists already" in refused.err
    assert not (desk.folder / "task.yaml").exists()
    assert (desk.folder / "policy.yaml").read_bytes() == before["policy.yaml"]
    assert assay("init", ".", "--label", "a", "--label", "b", "--force").code == 0
    assert load_task(desk.folder / "task.yaml").labels == ("a", "b")
    assert (desk.folder / "policy.yaml").read_bytes() != before["policy.yaml"]


@pytest.mark.parametrize("force", [False, True])
def test_a_failure_half_way_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    if force:
        (tmp_path / "task.yaml").write_text("mine")
    real, calls = (Path.replace, "replace") if force else (project_init.os.link, "link")

    def fails_at_the_second(source: Path, target: Path) -> object:
        if target.name == "policy.yaml":
            raise OSError(28, "No space left on device")
        return real(source, target)

    monkeypatch.setattr(Path if force else project_init.os, calls, fails_at_the_second)
    with pytest.raises(OSError, match="No space"):
        project_init.init(InitRequest(folder=tmp_path, labels=("a", "b"), force=force))
    assert there(tmp_path) == ({"task.yaml"} if force else set())
    if force:
        assert (tmp_path / "task.yaml").read_text() == "mine"


def tried(assay: Assay, url: str, *more: str, code: int) -> dict[str, dict[str, object]]:
    done = assay("init", "mine", "--golden", "golden.jsonl", "--endpoint", url, *more, "--json")
    assert done.code == code, done.err
    assert done.document["ready"] is (code == 0)
    assert SECRET not in done.out + done.err
    return {row["what"]: row for row in done.document["tried"]}


def test_a_good_server_is_ready_and_asked_one_case_of_each_label_first(
    assay: Assay, desk: Desk, serve: Serve
) -> None:
    server = serve(knows(desk))
    rows = tried(assay, server.endpoint.base_url, code=0)
    assert rows["server"]["found"] == "vllm 0.32.0, model 'tiny'"
    assert rows["golden cases"]["found"] == "8 of 8 answered with a label"
    assert rows["agreement"]["found"] == "8 of 8 as labelled"
    assert rows["log-probabilities"]["needed"] is False
    assert str(rows["log-probabilities"]["mend"]).startswith("nothing, unless")


def test_log_probabilities_that_come_are_seen(assay: Assay, desk: Desk, serve: Serve) -> None:
    answers = knows(desk)
    top = {"anger": -0.5, "fear": -1.5, "joy": -2.0}

    def script(body: dict[str, object]) -> Say:
        reply = answers(body)
        assert isinstance(reply, Say)
        return Say(words=reply.words, top_logprobs=top)

    rows = tried(assay, serve(script).endpoint.base_url, code=0)
    assert rows["log-probabilities"]["mend"] is None


def test_a_server_that_does_not_constrain_is_named(assay: Assay, desk: Desk, serve: Serve) -> None:
    rows = tried(assay, serve(knows(desk), constrains=False).endpoint.base_url, code=12)
    assert "ignored structured_outputs" in str(rows["answers"]["mend"])


def test_free_answers_that_are_no_labels_say_what_to_mend(
    assay: Assay, desk: Desk, serve: Serve
) -> None:
    server = serve(lambda body: Say(words=f"I think {SECRET}"), constrains=False)
    assay("init", "mine", "--golden", "golden.jsonl")
    path = desk.folder / "mine" / "task.yaml"
    path.write_text(path.read_text().replace("mode: constrained", "mode: free"))
    rows = tried(assay, server.endpoint.base_url, "--only-try", code=12)
    assert rows["golden cases"]["found"] == "0 of 8 answered with a label"
    assert "decoding.mode: constrained" in str(rows["golden cases"]["mend"])
    assert "mode: free" in path.read_text()  # nothing was written


def test_a_model_that_is_never_as_labelled_is_told_and_stops_nothing(
    assay: Assay, desk: Desk, serve: Serve
) -> None:
    server = serve(knows(desk, joy="fear", fear="anger", anger="joy"))
    rows = tried(assay, server.endpoint.base_url, code=0)
    assert rows["agreement"]["found"] == "0 of 8 as labelled"
    assert "words the model was trained with" in str(rows["agreement"]["mend"])


def test_a_server_that_errs_on_texts_is_no_ready_one(
    assay: Assay, desk: Desk, serve: Serve
) -> None:
    answers = knows(desk)

    def script(body: dict[str, object]) -> Say | Fail:
        return Fail(how="status", status=400) if SECRET in json.dumps(body) else answers(body)  # type: ignore[return-value]

    rows = tried(assay, serve(script).endpoint.base_url, code=12)
    assert "8 without an answer (http_400)" in str(rows["golden cases"]["found"])


def test_an_old_server_is_said_and_the_documents_stay(
    assay: Assay, desk: Desk, serve: Serve
) -> None:
    server = serve(knows(desk), version="0.9.0")
    rows = tried(assay, server.endpoint.base_url, code=12)
    assert "0.32.0 or later" in str(rows["server"]["mend"])
    assert there(desk.folder / "mine") == set(FILES)
    for_people = assay(
        "init", "mine", "--only-try", "--endpoint", serve(knows(desk)).endpoint.base_url
    )
    assert for_people.code == 0
    assert "✓ readiness question: 1 of 1 answered with a label" in for_people.out
