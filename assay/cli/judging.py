"""`assay judge`, `verify` and `selftest`: verdicts from files alone, without a server."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.ci_files import Junit, Summary, write_ci_files
from assay.cli.output import ExitCode, print_json, print_line
from assay.cli.verdict_table import print_verdict
from assay.errors import ConfigError

if TYPE_CHECKING:
    from flows.rejudge import Files, ModelFiles


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
    candidate_engine: Annotated[
        Path | None, typer.Option(help="What the candidate's engine said during the load.")
    ] = None,
    production_engine: Annotated[
        Path | None, typer.Option(help="The same of production's engine.")
    ] = None,
    production_latency_again: Annotated[
        Path | None, typer.Option(help="Production timed against itself, for the noise floor.")
    ] = None,
    anchor: Annotated[
        Path | None, typer.Option(help="Predictions of the release that the policy pins.")
    ] = None,
    context: Annotated[
        Path | None, typer.Option(help="run.json of the evidence; makes the bytes the same.")
    ] = None,
    junit: Junit = None,
    summary: Summary = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print verdict.json to stdout.")] = False,
) -> None:
    """Re-derives a verdict from stored predictions, byte for byte, without a server.

    Example: assay judge --golden golden_data/golden.jsonl --candidate c.jsonl --production p.jsonl
    --policy policy.yaml --only emotion_f1,validity
    """
    from flows.rejudge import Files, ModelFiles, judge_files

    files = Files(
        golden=golden,
        policy=policy,
        task=task,
        probes=probes,
        context=context,
        candidate=ModelFiles(
            predictions=candidate,
            probe_answers=candidate_probes,
            latency=candidate_latency,
            engine_samples=candidate_engine,
        ),
        production=ModelFiles(
            predictions=production,
            probe_answers=production_probes,
            latency=production_latency,
            engine_samples=production_engine,
            latency_again=production_latency_again,
        ),
        anchor=anchor,
    )
    verdict = judge_files(files, _chosen(only)).verdict
    print_verdict(verdict, as_json=as_json)
    write_ci_files(verdict, junit=junit, summary=summary)
    raise typer.Exit(verdict.verdict.exit_code)


def selftest(
    evidence_dir: Annotated[
        Path | None,
        typer.Option("--evidence", help="An evidence folder, in place of all the other files."),
    ] = None,
    golden: Annotated[
        Path | None, typer.Option(help="Golden file, or golden_index.jsonl of evidence.")
    ] = None,
    production: Annotated[Path | None, typer.Option(help="Production's predictions.")] = None,
    policy: Annotated[
        Path | None, typer.Option(help="The thresholds. Default: the evidence's, or policy.yaml.")
    ] = None,
    task: Annotated[Path, typer.Option(help="What the models were asked.")] = Path("task.yaml"),
    probes: Annotated[Path | None, typer.Option(help="Probes file, or its index.")] = None,
    production_probes: Annotated[
        Path | None, typer.Option(help="Production's answers to the probes.")
    ] = None,
    production_latency: Annotated[
        Path | None, typer.Option(help="Production's latency samples.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Shows that the gate promotes production itself and never promotes a known-worse mutant.

    Example: assay selftest --evidence .assay/reports/20261123T151200Z-1f2e3d4c
    """
    from flows.rejudge import ModelFiles, run_selftest

    recorded = ModelFiles(
        predictions=production, probe_answers=production_probes, latency=production_latency
    )
    if evidence_dir is not None:
        if golden or probes or production or recorded.beside:
            raise ConfigError(
                "--evidence: given together with recorded files; expected one or the other; beside "
                "--evidence name only --policy"
            )
        files = _evidence(evidence_dir, policy)
    else:
        files = _recorded(golden, policy, task, probes, recorded)
    rows, sound = run_selftest(files)
    if as_json:
        print_json({"sound": sound, "mutants": rows})
    else:
        for row in rows:
            print_line(row)
    raise typer.Exit(0 if sound else int(ExitCode.BLOCK))


def _evidence(folder: Path, policy: Path | None) -> "Files":
    from flows.rejudge import sealed_files

    files = sealed_files(folder)
    return files if policy is None else replace(files, policy=policy)


def _recorded(
    golden: Path | None,
    policy: Path | None,
    task: Path,
    probes: Path | None,
    production: "ModelFiles",
) -> "Files":
    from flows.rejudge import Files, ModelFiles

    if golden is None:
        raise ConfigError(
            "neither --evidence nor --golden: found nothing to test with; give an evidence folder, "
            "or --golden and --production"
        )
    return Files(
        golden=golden,
        policy=policy or Path("policy.yaml"),
        task=task,
        probes=probes,
        candidate=ModelFiles(),
        production=production,
    )


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
