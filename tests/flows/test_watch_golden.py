"""The watch over a golden set: called once when it degrades, and an outage is no degradation."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from assay.adapters.golden_dvc import DvcGoldenSource
from assay.adapters.validator_gx import GxValidator
from assay.errors import ConfigError
from assay.golden_health.health import Check, Health
from assay.records import FindingStatus
from assay.task import load_task
from flows import watch_golden
from flows.golden_health import Sources, golden_health, version_dates
from flows.golden_watch import STATE, as_markdown, look, record, recorded
from tests.cli_desk import SECRET, make_desk

PASSED, FAILED, UNDECIDED = FindingStatus.PASSED, FindingStatus.FAILED, FindingStatus.UNDECIDED


def health(**statuses: FindingStatus) -> Health:
    checks = tuple(
        Check(name=name, status=status, says=f"{name} is {status.value}.")
        for name, status in statuses.items()
    )
    return Health(digest="sha256:0", revision="test", cases=3, checks=checks)


def test_a_degradation_is_announced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[dict[str, object]] = []
    monkeypatch.setattr(watch_golden, "emit_event", lambda **event: raised.append(event))
    days = [PASSED, FAILED, UNDECIDED, FAILED, PASSED, FAILED]
    announced = []
    for status in days:
        seen = look(health(age=PASSED, words=status), tmp_path)
        announced.append(watch_golden.announce(seen))
        record(seen, tmp_path)
    assert announced == [False, True, False, False, False, True]
    assert raised[0]["event"] == watch_golden.DEGRADED == "assay.golden.degraded"
    payload = raised[0]["payload"]
    assert isinstance(payload, dict)
    assert payload["broken"] == ("words",)
    assert payload["reasons"] == {"words": "words is failed."}


def test_what_is_no_longer_known_is_said_and_raises_nothing(tmp_path: Path) -> None:
    record(look(health(words=PASSED), tmp_path), tmp_path)
    seen = look(health(words=UNDECIDED), tmp_path)
    assert seen.change.lost == ("words",)
    assert not seen.change.degraded
    assert "No longer known" in as_markdown(seen)


def test_the_first_look_at_an_unhealthy_set_is_announced(tmp_path: Path) -> None:
    assert look(health(words=FAILED), tmp_path).change.degraded


def test_a_check_that_only_informs_never_calls(tmp_path: Path) -> None:
    found = health(words=FAILED)
    informing = replace(found, checks=tuple(replace(c, gating=False) for c in found.checks))
    assert not look(informing, tmp_path).change.degraded


def test_a_damaged_record_is_an_error_and_not_a_first_look(tmp_path: Path) -> None:
    record(look(health(words=PASSED), tmp_path), tmp_path)
    (tmp_path / STATE).write_text('{"schema_version": 1, "statuses": {}}')
    with pytest.raises(ConfigError, match="looked_at"):
        recorded(tmp_path)


def test_a_set_is_assessed_from_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = make_desk(tmp_path, each=100)
    monkeypatch.chdir(tmp_path)
    rows = [{"text": f"{case['text']} again", "label": "joy"} for case in desk.cases]
    (tmp_path / "traffic.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "health.yaml").write_text("schema_version: 1\nfollows_traffic: [labels]\n")
    task = load_task(tmp_path / "task.yaml")
    golden = DvcGoldenSource(tmp_path).load("golden.jsonl", task.labels)
    sources = Sources(
        policy=tmp_path / "policy.yaml",
        rules=tmp_path / "health.yaml",
        traffic=tmp_path / "traffic.jsonl",
        repository=tmp_path,
    )
    found = golden_health(golden, task, GxValidator(), sources, uses=2, today=date(2026, 6, 1))
    statuses = {check.name: check.status for check in found.checks}
    assert {check.name for check in found.failed} == {"traffic/labels"}
    assert statuses["power/minimum"] is PASSED
    assert statuses["wear/age"] is UNDECIDED, "there is no Git history to date it"
    assert statuses["traffic/languages"] is UNDECIDED, "the sample has no languages"
    assert SECRET not in as_markdown(look(found, tmp_path))


def test_versions_are_dated_by_the_history_of_the_repository() -> None:
    found = version_dates(Path.cwd())
    assert "1.0.0" in found, "this project's own golden set is in Git"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"text": "a", "secret": "b"}', "secret: Extra inputs are not permitted"),
        ('{"text": "a"}\n{"label": "joy"}', "1 of 2 rows lack 'text'"),
        ('{"request_id": 1}', "holds no text, label or lang"),
        ("{", "not valid JSON"),
    ],
)
def test_a_sample_of_traffic_that_is_none_is_refused(tmp_path: Path, line: str, words: str) -> None:
    from assay.golden_health.traffic import read_traffic

    path = tmp_path / "traffic.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        read_traffic(path)


def test_traffic_is_read_from_parquet_as_from_jsonl(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    from assay.golden_health.traffic import read_traffic

    rows = [{"request_id": str(n), "text": f"text {n}", "label": "joy"} for n in range(5)]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_traffic(tmp_path / "t.parquet") == read_traffic(tmp_path / "t.jsonl")
    (tmp_path / "no.parquet").write_text("no")
    with pytest.raises(ConfigError, match="not a Parquet file"):
        read_traffic(tmp_path / "no.parquet")
