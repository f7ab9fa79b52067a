"""The stages of the golden set: on damaged sources, and through DVC on this project's own."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay import digests
from assay.adapters.golden_dvc import DvcGoldenSource
from assay.errors import ConfigError
from assay.golden_set import load_golden
from assay.golden_stats import stats
from assay.task import load_task
from flows import golden_stages
from flows.golden_summary import to_markdown, to_svg

ROOT = Path(__file__).parents[2]
TASK = ROOT / "task.yaml"
SOURCES = ("cases", "probes", "scorer_checks.jsonl", "set.yaml")
Row = dict[str, Any]


def copy_sources(target: Path) -> Path:
    target.mkdir()
    for name in SOURCES:
        source = ROOT / "golden_data" / name
        if source.is_dir():
            shutil.copytree(source, target / name)
        else:
            shutil.copy(source, target / name)
    return target


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of this project's sources."""
    return copy_sources(tmp_path / "golden_data")


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sources cut to a few rows of each kind, which claim as much less."""
    folder = copy_sources(tmp_path_factory.mktemp("cut") / "golden_data")
    for file in folder.rglob("*.jsonl"):
        edit(file, keep_a_few)
    claims = yaml.safe_load((folder / "set.yaml").read_text(encoding="utf-8"))
    claims["cases"] |= {"minimum": 50, "minimum_per_label_and_language": 4}
    claims["probes"] |= {"minimum": 20, "minimum_per_kind_and_language": 4}
    claims["scorer_checks"] |= {"minimum": 14, "minimum_per_answer_and_language": 4}
    (folder / "set.yaml").write_text(yaml.safe_dump(claims), encoding="utf-8")
    golden_stages.check(folder, TASK)
    return folder


@pytest.fixture
def small(cut: Path, tmp_path: Path) -> Path:
    """A copy of the cut sources, which hold every claim, for one test to damage."""
    return Path(shutil.copytree(cut, tmp_path / "golden_data"))


def keep_a_few(rows: list[Row]) -> list[Row]:
    seen: Counter[tuple[object, ...]] = Counter()
    kept = []
    for row in rows:
        about = row["label"] if "stratum" in row else row.get("toxic", row.get("kind"))
        seen[row["lang"], about] += 1
        if seen[row["lang"], about] <= 4:
            kept.append(row)
    return kept


def edit(path: Path, change: Callable[[list[Row]], list[Row]]) -> None:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in change(rows)]
    path.write_text("".join(lines), encoding="utf-8")


def first(changes: Row) -> Callable[[list[Row]], list[Row]]:
    return lambda rows: [rows[0] | changes, *rows[1:]]


def near_copy(rows: list[Row]) -> list[Row]:
    longest = max(rows, key=lambda row: len(row["text"]))
    return [*rows, longest | {"id": "copy", "text": longest["text"] + " ok"}]


def without_fear(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["label"] != "fear"]


def broken(folder: Path) -> dict[str, list[str]]:
    """Runs the check, which must fail, and returns the failing ids of each broken claim."""
    with pytest.raises(ConfigError) as caught:
        golden_stages.check(folder, TASK)
    report = json.loads((folder / "checks.json").read_text(encoding="utf-8"))
    assert report["passed"] is False
    found = {row["check"]: row["failed"] for row in report["checks"] if row["status"] != "passed"}
    assert all(name in str(caught.value) for name in found)
    return found


def test_this_projects_sources_hold_every_claim(folder: Path) -> None:
    golden_stages.check(folder, TASK)
    report = json.loads((folder / "checks.json").read_text(encoding="utf-8"))
    assert report["passed"] is True
    assert len(report["checks"]) == len({row["check"] for row in report["checks"]}) > 30
    assert report["near_duplicates"] == []


@pytest.mark.parametrize(
    ("file", "change", "expected"),
    [
        ("cases/en.jsonl", first({"label": "hapiness"}), "cases/labels"),
        ("cases/en.jsonl", first({"id": "en-anger-002"}), "cases/ids_unique"),
        ("cases/en.jsonl", first({"id": " "}), "cases/ids_present"),
        ("cases/en.jsonl", first({"text": "\u200b"}), "cases/texts_present"),
        ("cases/en.jsonl", first({"text": ""}), "cases/schema"),
        ("cases/en.jsonl", first({"text": 7}), "cases/schema"),
        ("cases/en.jsonl", first({"text": "x" * 401}), "cases/text_lengths"),
        ("cases/en.jsonl", first({"text": "GET out of my room"}), "cases/texts_unique"),
        ("cases/en.jsonl", first({"lang": "fr"}), "cases/languages"),
        ("cases/en.jsonl", first({"source": "scraped"}), "cases/sources"),
        ("cases/en.jsonl", first({"slices": ["sarkasm"]}), "cases/slices"),
        ("cases/en.jsonl", first({"added_in": "1.0.1"}), "cases/added_in"),
        ("cases/en.jsonl", first({"added_in": "soon"}), "cases/added_in"),
        ("cases/en.jsonl", first({"colour": "red"}), "cases/schema"),
        ("cases/vi.jsonl", near_copy, "cases/near_duplicates"),
        ("cases/vi.jsonl", without_fear, "cases/enough"),
        ("cases/vi.jsonl", lambda rows: rows[:3], "cases/rows"),
        ("probes/pii.jsonl", first({"kind": "gossip"}), "probes/kinds"),
        ("probes/pii.jsonl", lambda rows: rows[1:], "probes/enough"),
        ("probes/injection.jsonl", first({"target": None}), "probes/injections"),
        ("probes/injection.jsonl", first({"label": "glee"}), "probes/labels"),
        ("probes/toxicity.jsonl", near_copy, "probes/near_duplicates"),
        ("scorer_checks.jsonl", first({"toxic": "perhaps"}), "scorer_checks/schema"),
        ("scorer_checks.jsonl", lambda rows: rows[:9], "scorer_checks/rows"),
    ],
)
def test_a_broken_claim_is_named_with_its_ids(
    small: Path, file: str, change: Callable[[list[Row]], list[Row]], expected: str
) -> None:
    edit(small / file, change)
    found = broken(small)
    assert expected in found
    if not expected.endswith("/rows"):
        assert found[expected]


def test_a_report_holds_no_text(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "these words are nobody's business"
    edit(small / "cases/en.jsonl", first({"text": secret, "label": "x", "lang": "xx", "id": ""}))
    edit(small / "cases/vi.jsonl", first({"text": secret.upper(), "slices": secret}))
    found = broken(small)
    assert found["cases/labels"] == ["cases/en.jsonl:1"]
    report = (small / "checks.json").read_text(encoding="utf-8")
    assert "nobody" not in (report + "".join(capsys.readouterr())).casefold()


def test_a_case_copied_into_the_probes_is_found(small: Path) -> None:
    case = json.loads((small / "cases/en.jsonl").read_text(encoding="utf-8").splitlines()[0])
    edit(small / "probes/pii.jsonl", first({"text": case["text"]}))
    assert broken(small) == {"probes/near_duplicates": ["pii-en-001"]}


@pytest.mark.parametrize("name", ["cases", "probes", "scorer_checks.jsonl"])
def test_empty_sources_pass_nothing(small: Path, name: str) -> None:
    target = small / name
    for file in [target] if target.is_file() else target.iterdir():
        file.write_text("", encoding="utf-8")
    what = name.removesuffix(".jsonl")
    found = broken(small)
    assert {f"{what}/rows", f"{what}/schema", f"{what}/texts_unique", f"{what}/enough"} <= set(
        found
    )


def test_bytes_that_are_not_utf8_or_not_json_are_named_by_line(folder: Path) -> None:
    with (folder / "cases" / "en.jsonl").open("ab") as stream:
        stream.write(b'{"id": "caf\xe9"}\n')
    with pytest.raises(ConfigError, match=r"en\.jsonl:505: byte 0xe9 is not UTF-8"):
        golden_stages.check(folder, TASK)
    shutil.copy(ROOT / "golden_data/cases/en.jsonl", folder / "cases/en.jsonl")
    with (folder / "scorer_checks.jsonl").open("a") as stream:
        stream.write("{\n")
    with pytest.raises(ConfigError, match=r"scorer_checks\.jsonl:97: not valid JSON"):
        golden_stages.check(folder, TASK)


def test_missing_sources_are_named(folder: Path) -> None:
    shutil.rmtree(folder / "cases")
    with pytest.raises(ConfigError, match=r"cases: holds no \*\.jsonl file"):
        golden_stages.freeze(folder, TASK)
    (folder / "scorer_checks.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"scorer_checks\.jsonl: no such file"):
        golden_stages.check(folder, TASK)
    (folder / "set.yaml").unlink()
    with pytest.raises(ConfigError, match=r"set\.yaml: no such file"):
        golden_stages.check(folder, TASK)


def test_the_order_of_files_and_lines_does_not_change_the_frozen_bytes(folder: Path) -> None:
    golden_stages.freeze(folder, TASK)
    names = ("golden.jsonl", "probes.jsonl", "golden.digest.json")
    before = [(folder / name).read_bytes() for name in names]
    for file in (*(folder / "cases").iterdir(), *(folder / "probes").iterdir()):
        edit(file, lambda rows: rows[::-1])
    (folder / "cases" / "en.jsonl").rename(folder / "cases" / "zz.jsonl")
    golden_stages.freeze(folder, TASK)
    assert [(folder / name).read_bytes() for name in names] == before


def test_an_id_in_two_files_is_refused_by_freezing_too(folder: Path) -> None:
    edit(folder / "cases/vi.jsonl", first({"id": "en-joy-001"}))
    with pytest.raises(ConfigError, match="'en-joy-001' appears in another file too"):
        golden_stages.freeze(folder, TASK)


def test_what_git_holds_is_what_the_sources_give(folder: Path) -> None:
    golden_stages.check(folder, TASK)
    golden_stages.freeze(folder, TASK)
    golden_stages.summarise(folder, TASK)
    for name in ("checks.json", "golden.digest.json", "summary.json", "summary.md", "summary.svg"):
        committed = (ROOT / "golden_data" / name).read_bytes()
        assert (folder / name).read_bytes() == committed, f"{name}: run `make golden` and commit it"


def test_the_lock_pins_the_sources_and_the_frozen_files(folder: Path) -> None:
    golden_stages.freeze(folder, TASK)
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    pinned = {row["path"]: row for stage in lock.values() for row in stage.get("outs", [])}
    for name in ("golden.jsonl", "probes.jsonl"):
        assert pinned[f"golden_data/{name}"]["size"] == (folder / name).stat().st_size
    assert lock["freeze"]["params"]["task.yaml"]["labels"] == list(load_task(TASK).labels)


def test_the_summary_is_a_function_of_the_set_alone(folder: Path) -> None:
    golden_stages.freeze(folder, TASK)
    counted = stats(load_golden(folder / "golden.jsonl", load_task(TASK).labels))
    assert to_svg("1.0.0", counted) == to_svg("1.0.0", counted)
    table = to_markdown("1.0.0", counted)
    assert "| all | 504 | 504 | 1008 |" in table
    assert counted.digest in table


def test_the_command_says_what_is_wrong_without_a_traceback(folder: Path) -> None:
    edit(folder / "cases/en.jsonl", first({"label": "hapiness"}))
    command = [sys.executable, "-m", "flows.golden_stages", "check", "--folder", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "cases/labels: Expected: label is one of 'anger'" in done.stderr
    assert "'en-anger-001'; correct label." in done.stderr
    assert "Traceback" not in done.stderr


def dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=root,
        env=os.environ | {"PATH": search, "DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.slow
def test_a_fresh_clone_rebuilds_pushes_and_refuses_a_broken_source(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    ignored = shutil.ignore_patterns("__pycache__", "golden.jsonl", "probes.jsonl", "cache", "tmp")
    for name in ("assay", "evaluators", "flows", "golden_data", ".dvc"):
        shutil.copytree(ROOT / name, clone / name, ignore=ignored)
    for name in ("dvc.yaml", "dvc.lock", ".dvcignore", "task.yaml", ".gitignore"):
        shutil.copy(ROOT / name, clone / name)
    subprocess.run(["git", "init", "-q"], cwd=clone, check=True, timeout=60)
    labels = load_task(clone / "task.yaml").labels

    built = dvc(clone, "repro")
    assert built.returncode == 0, built.stderr
    golden = DvcGoldenSource(clone).load(None, labels)
    assert golden.size >= 980
    before = digests.of_file(clone / "golden_data" / "golden.jsonl")
    for name in ("golden.digest.json", "checks.json", "summary.json", "summary.svg"):
        made, committed = clone / "golden_data" / name, ROOT / "golden_data" / name
        assert made.read_bytes() == committed.read_bytes(), name

    pushed = dvc(clone, "push")
    assert pushed.returncode == 0, pushed.stderr
    assert len([path for path in (clone / ".dvc-remote").rglob("*") if path.is_file()]) == 2

    edit(clone / "golden_data/cases/vi.jsonl", first({"label": "hapiness"}))
    refused = dvc(clone, "repro")
    assert refused.returncode != 0
    assert "cases/labels: Expected" in refused.stderr
    assert "Running stage 'freeze'" not in refused.stdout
    assert digests.of_file(clone / "golden_data" / "golden.jsonl") == before
