"""`assay policy …`: what a policy means, and whether the golden set can ever satisfy it."""

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.output import print_json, print_line, results_only, say

app = typer.Typer(no_args_is_help=True, help="The thresholds.")


@app.command()
def check(
    policy: Annotated[Path, typer.Argument(help="The thresholds.")] = Path("policy.yaml"),
    task: Annotated[Path, typer.Option(help="What the model is asked.")] = Path("task.yaml"),
    golden: Annotated[
        str | None, typer.Option(help="Git revision or file. Default: the working tree's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Explains a policy in plain sentences and warns where the golden set cannot satisfy it.

    Example: assay policy check policy.yaml --golden golden.jsonl
    """
    from assay.adapters.golden_dvc import DvcGoldenSource
    from assay.load.named_profiles import all_profiles
    from assay.policy import load_policy
    from assay.task import load_task
    from evaluators import registry
    from evaluators.explanation import explain, power_warnings

    rules, asked = load_policy(policy), load_task(task)
    registry.build(rules, asked, where=str(policy))
    all_profiles(rules.load, where=str(policy))
    sentences = explain(rules, asked)
    if not as_json:
        for sentence in sentences:
            print_line(sentence)
    with results_only():
        golden_set = DvcGoldenSource(Path.cwd()).load(golden, asked.labels)
        warnings = power_warnings(rules, asked, golden_set)
    for sentence in warnings:
        say(f"warning: {sentence}")
    if as_json:
        print_json({"policy": rules.digest, "sentences": sentences, "warnings": warnings})


@app.command()
def backtest(
    policy: Annotated[Path, typer.Option(help="The proposed policy.")],
    reports: Annotated[
        Path | None, typer.Option(help="Folder of evidence folders. Default: this machine's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Judges all recorded gates under a proposed policy and shows which verdicts would change.

    Example: assay policy backtest --policy stricter.yaml
    """
    from flows.backtest import backtest as judge_again
    from flows.backtest import evidence_folders
    from flows.settings import from_environment

    with results_only():
        rows = judge_again(evidence_folders(reports or from_environment().reports), policy)
    changed = [row for row in rows if row.changed]
    if as_json:
        print_json(
            [
                {
                    "run_id": row.run_id,
                    "candidate": row.candidate,
                    "recorded": row.recorded.value,
                    "proposed": None if row.proposed is None else row.proposed.value,
                    "changed": row.changed,
                }
                for row in rows
            ]
        )
        return
    for row in rows:
        print_line(row.sentence)
    say(f"{len(changed)} of {len(rows)} recorded verdicts would change")
