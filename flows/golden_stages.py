"""The stages of the golden set, which `dvc.yaml` calls: check, freeze and summarise.

    python -m flows.golden_stages check       sources → checks.json; fails where a claim is broken
    python -m flows.golden_stages freeze      sources → golden.jsonl, probes.jsonl, their digest
    python -m flows.golden_stages summarise   golden.jsonl → summary.json, summary.md, summary.svg

Decides what each stage reads and writes, and that no case text is printed; leaves the claims to
`flows.golden_expectations`, the frozen bytes to `assay.golden_frozen` and the counts to
`assay.golden_stats`. Every output is a function of the inputs alone: no clock, no order of files.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from assay.errors import AssayError, ConfigError
from assay.golden_checks import Outcome, sentence
from assay.golden_frozen import (
    DIGEST_FILE,
    GOLDEN_FILE,
    PROBES_FILE,
    canonical,
    describe_frozen,
    json_bytes,
    to_jsonl,
)
from assay.golden_set import load_golden, load_probes
from assay.golden_stats import stats
from assay.records import FindingStatus, GoldenCase
from assay.task import load_task
from flows.golden_claims import load_claims
from flows.golden_expectations import Checked, check_sources
from flows.golden_sources import read_sources
from flows.golden_summary import to_markdown, to_svg

CLAIMS_FILE = "set.yaml"
CHECKS_FILE = "checks.json"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Folder = Annotated[Path, typer.Option(help="The golden folder.")]
TaskFile = Annotated[Path, typer.Option("--task", help="What the model is asked.")]
_FOLDER = Path("golden_data")
_TASK = Path("task.yaml")


@app.command()
def check(folder: Folder = _FOLDER, task: TaskFile = _TASK) -> None:
    """Holds the sources against set.yaml, and fails where a claim is broken."""
    claims, labels = load_claims(folder / CLAIMS_FILE), load_task(task).labels
    checked = check_sources(read_sources(folder), claims, labels)
    (folder / CHECKS_FILE).write_bytes(json_bytes(_report(claims.version, checked)))
    broken = [one for one in checked.outcomes if one.status is not FindingStatus.PASSED]
    if broken:
        reasons = "\n".join(f"  {one.claim.name}: {sentence(one)}" for one in broken)
        raise ConfigError(
            f"{folder}: {len(broken)} of {len(checked.outcomes)} expectations do not hold; all "
            f"failing ids are in {folder / CHECKS_FILE}\n{reasons}"
        )
    print(f"{len(checked.outcomes)} expectations hold: {folder / CHECKS_FILE}")


@app.command()
def freeze(folder: Folder = _FOLDER, task: TaskFile = _TASK) -> None:
    """Writes the canonical files and the digest that Git keeps of them."""
    claims, labels = load_claims(folder / CLAIMS_FILE), load_task(task).labels
    cases = canonical(_load_cases(folder / "cases", labels))
    probes = canonical(load_probes(folder / "probes"))
    frozen = describe_frozen(claims.version, cases, probes)
    (folder / GOLDEN_FILE).write_bytes(to_jsonl(cases))
    (folder / PROBES_FILE).write_bytes(to_jsonl(probes))
    (folder / DIGEST_FILE).write_bytes(frozen.to_bytes())
    print(f"version {frozen.version}: {len(cases)} cases, {frozen.golden.digest}")


@app.command()
def summarise(folder: Folder = _FOLDER, task: TaskFile = _TASK) -> None:
    """Counts the frozen set, as JSON, Markdown and a picture."""
    version = load_claims(folder / CLAIMS_FILE).version
    counted = stats(load_golden(folder / GOLDEN_FILE, load_task(task).labels))
    (folder / "summary.json").write_bytes(json_bytes({"version": version} | counted.to_json()))
    (folder / "summary.md").write_text(to_markdown(version, counted), encoding="utf-8")
    (folder / "summary.svg").write_bytes(to_svg(version, counted))
    print(f"counted {counted.cases} cases: {folder / 'summary.md'}")


def _load_cases(folder: Path, labels: Sequence[str]) -> list[GoldenCase]:
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise ConfigError(f"{folder}: holds no *.jsonl file; expected the golden cases")
    cases: dict[str, GoldenCase] = {}
    for file in files:
        for case in load_golden(file, labels).cases:
            if case.id in cases:
                raise ConfigError(
                    f"{file}: id {case.id!r} appears in another file too; give each case its own id"
                )
            cases[case.id] = case
    return list(cases.values())


def _report(version: str, checked: Checked) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "version": version,
        "passed": all(one.status is FindingStatus.PASSED for one in checked.outcomes),
        "checks": [_row(one) for one in checked.outcomes],
        "near_duplicates": [
            {"first": hit.first, "second": hit.second, "similarity": round(hit.similarity, 1)}
            for hit in checked.near_duplicates
        ],
    }


def _row(outcome: Outcome) -> dict[str, Any]:
    return {
        "check": outcome.claim.name,
        "expected": outcome.claim.says,
        "status": outcome.status.value,
        "rows": outcome.rows,
        "failed": list(outcome.failed),
    }


def main() -> None:
    """Runs a stage; an expected error is one message and exit code 1, without a traceback."""
    try:
        app()
    except AssayError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
