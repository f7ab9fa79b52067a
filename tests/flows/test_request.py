"""A request is checked, and its documents are read once, before anything is pulled or started."""

from dataclasses import replace
from pathlib import Path

import pytest

from assay.errors import ConfigError
from flows.request import GateRequest, check_request, load_documents
from tests.cli_desk import make_desk


@pytest.fixture
def request_(tmp_path: Path) -> GateRequest:
    make_desk(tmp_path, each=1)
    paths = {name: tmp_path / f"{name}.yaml" for name in ("policy", "task", "serving")}
    return GateRequest(model="emotion", version="1.1.0", **paths)


def test_documents_are_kept_as_they_were_when_they_were_judged_by(request_: GateRequest) -> None:
    documents = load_documents(request_)
    text = request_.policy.read_bytes()
    request_.policy.write_text("edited: meanwhile")
    assert documents.texts["policy"] == text
    assert set(documents.texts) == {"policy", "task", "serving"}
    assert documents.wants("emotion_f1")
    assert not documents.wants("latency")


def test_a_wrong_option_is_said_with_the_name_of_the_users_own_file(
    request_: GateRequest, tmp_path: Path
) -> None:
    strict = tmp_path / "strict.yaml"
    strict.write_text(request_.policy.read_text().replace("margin: 0.1", "margn: 0.1"))
    with pytest.raises(ConfigError, match=r"strict\.yaml: evaluators\.emotion_f1: 'margn'"):
        load_documents(replace(request_, policy=strict))


def test_a_report_may_go_to_a_new_or_an_empty_folder_only(
    request_: GateRequest, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder in (empty, tmp_path / "new"):
        check_request(replace(request_, report_dir=folder))
    for folder in (tmp_path, request_.policy):
        with pytest.raises(ConfigError, match="holds something already"):
            check_request(replace(request_, report_dir=folder))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backend": "endpoint"}, "no --candidate-url"),
        ({"backend": "docker", "candidate_url": "http://h"}, "need --backend endpoint, found dock"),
        ({"production_url": "http://h"}, "need --backend endpoint, found no --backend"),
        ({"model": "a/../b"}, "model name"),
        ({"version": "1.0/../2"}, "version"),
        ({"profile": "gpu"}, "no profile 'gpu'"),
    ],
)
def test_a_request_that_contradicts_itself_is_refused(
    request_: GateRequest, changes: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        load_documents(replace(request_, **changes))
