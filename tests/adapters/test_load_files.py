"""Timed requests on disk: read back as they were, whatever ended the writing."""

from pathlib import Path

import pytest

from assay.adapters.load_files import open_requests, read_requests
from assay.errors import ConfigError
from assay.load.samples import TimedRequest
from assay.records import AnswerStatus

ANSWER = TimedRequest(
    index=0, case_id="c-1", request_id="r-1", intended_s=1.25, started_s=1.5, held_s=0.125,
    first_token_s=1.75, ended_s=2.0, gaps_ms=(1.5, 0.0, 2.25), prompt_tokens=7,
    completion_tokens=4, status=AnswerStatus.OK, warm_up=True,
)  # fmt: skip
ERROR = TimedRequest(
    index=1, case_id="c-2", request_id="r-2", intended_s=2.0, started_s=2.0, ended_s=3.0,
    status=AnswerStatus.ERROR, error_kind="http_429", retry_after_s=7.0,
)  # fmt: skip


@pytest.fixture(params=["jsonl", "parquet"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / "new" / f"requests.{request.param}"


def test_requests_read_back_as_they_were(path: Path) -> None:
    with open_requests(path) as file:
        for request in (ANSWER, ERROR):
            file(request)
    assert list(read_requests(path)) == [ANSWER, ERROR]
    assert [child.name for child in path.parent.iterdir()] == [path.name]


def test_an_error_in_the_middle_loses_nothing_that_was_taken(path: Path) -> None:
    def interrupted() -> None:
        with open_requests(path) as file:
            file(ANSWER)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(read_requests(path)) == [ANSWER]


def test_no_request_is_a_file_without_one(path: Path) -> None:
    with open_requests(path):
        pass
    assert list(read_requests(path)) == []


def test_a_file_that_exists_is_not_written_over(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        open_requests(path)
    assert path.read_text() == "mine"


def test_a_line_cut_short_by_a_kill_is_left_out_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    with open_requests(path) as file:
        for request in (ANSWER, ERROR):
            file(request)
    path.write_bytes(path.read_bytes()[:-20])
    assert list(read_requests(path)) == [ANSWER]
    path.write_text('{"index": "x"}\n')
    with pytest.raises(ConfigError, match=r"requests\.jsonl:1: .*index"):
        list(read_requests(path))


def test_a_parquet_file_that_was_not_closed_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "requests.parquet"
    path.write_bytes(b"PAR1 and then the machine died")
    with pytest.raises(ConfigError, match="holds no timed requests"):
        list(read_requests(path))
    with pytest.raises(ConfigError, match="cannot be read"):
        list(read_requests(tmp_path / "nowhere.jsonl"))
