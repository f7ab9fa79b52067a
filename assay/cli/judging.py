"""`assay judge`, `verify` and `selftest`: verdicts from files alone, without a server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.output import ExitCode, print_json, print_line, say
from assay.cli.verdict_table import print_verdict
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.records import Verdict


def judge_command(
    golden: Annotated[Path, typer.Option(help="Golden file, or golden_index.jsonl of evidence.")],
    candidate: Annotated[Path, typer.Option(help="The candidate's predictions.")],
    policy: Annotated[Path, typer.Option(help="The thresholds.")],
    production: Annotated[Path | None, typer.Option(help="Production's predictions.")] = None,
    task: Annotated[Path, typer.Option(help="What the models were asked.")] = Path("task.yaml"),
    only: Annotated[
        str | None, typer.Option(help="Judge only these evaluators, comma-separated.")
    ] = None,
    probes: Annotated[Path | None, typer.Option(help="Probes file, or its index.")] = None,
    candidate_probes: Annotated[
        Path | None, typer.Option(help="The candidate's answers to the probes.")
    ] = None,
    production_probes: Annotated[
        Path | None, typer.Option(help="Production's answers to the probes.")
    ] = None,
    candidate_latency: Annotated[
        Path | None, typer.Option(help="The candidate's latency samples.")
    ] = None,
    production_latency: Annotated[
        Path | None, typer.Option(help="Production's latency samples.")
    ] = None,
    anchor: Annotated[
        Path | None, typer.Option(help="Predictions of the release that the policy pins.")
    ] = None,
    context: Annotated[
        Path | None, typer.Option(help="run.json of the evidence; makes the bytes the same.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print verdict.json to stdout.")] = False,
) -> None:
    """Re-derives a verdict from stored predictions, byte for byte, without a server.

    Example: assay judge --golden golden_data/golden.jsonl --candidate c.jsonl --production p.jsonl
    --policy policy.yaml --only emotion_f1,validity
    """
    from flows.rejudge import Files, judge_files

    files = Files(
        golden=golden,
        policy=policy,
        task=task,
        probes=probes,
        context=context,
        candidate=(candidate, candidate_probes, candidate_latency),
        production=(production, production_probes, production_latency),
        anchor=anchor,
    )
    _finish(judge_files(files, _chosen(only)).verdict, as_json=as_json)


def verify(
    evidence_dir: Annotated[Path, typer.Argument(help="An evidence folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print verdict.json to stdout.")] = False,
) -> None:
    """Proves that evidence is unaltered and that its verdict follows from it."""
    from flows.rejudge import verify_evidence

    verdict = verify_evidence(evidence_dir)
    say(f"{evidence_dir}: every file is as sealed, and the verdict follows from them byte for byte")
    print_verdict(verdict, as_json=as_json)


def selftest(
    golden: Annotated[Path, typer.Option(help="Golden file, or golden_index.jsonl of evidence.")],
    production: Annotated[Path, typer.Option(help="Production's predictions.")],
    policy: Annotated[Path, typer.Option(help="The thresholds.")] = Path("policy.yaml"),
    task: Annotated[Path, typer.Option(help="What the models were asked.")] = Path("task.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Shows that the gate promotes production itself and never promotes a known-worse mutant."""
    from flows.rejudge import run_selftest

    rows, sound = run_selftest(golden=golden, production=production, policy=policy, task=task)
    if as_json:
        print_json({"sound": sound, "mutants": rows})
    else:
        for row in rows:
            print_line(row)
    raise typer.Exit(0 if sound else int(ExitCode.BLOCK))


def _chosen(only: str | None) -> tuple[str, ...]:
    """Reads `--only`; naming nothing is not the same as not giving it."""
    if only is None:
        return ()
    names = tuple(dict.fromkeys(name.strip() for name in only.split(",") if name.strip()))
    if not names:
        raise ConfigError(
            f"--only: found {only!r}; expected evaluators of the policy, comma-separated; name "
            "some, or leave --only out to judge all"
        )
    return names


def _finish(verdict: "Verdict", *, as_json: bool) -> None:
    print_verdict(verdict, as_json=as_json)
    raise typer.Exit(verdict.verdict.exit_code)
