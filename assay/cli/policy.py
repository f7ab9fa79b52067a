"""`assay policy …`: what a policy means, and whether the golden set can ever satisfy it."""

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.output import say

app = typer.Typer(no_args_is_help=True, help="The thresholds.")


@app.command()
def check(
    policy: Annotated[Path, typer.Argument(help="The thresholds.")] = Path("policy.yaml"),
    task: Annotated[Path, typer.Option(help="What the model is asked.")] = Path("task.yaml"),
    golden: Annotated[
        str | None, typer.Option(help="Git revision or file. Default: the working tree's.")
    ] = None,
) -> None:
    """Explains a policy in plain sentences and warns where the golden set cannot satisfy it."""
    from assay.adapters.golden_dvc import DvcGoldenSource
    from assay.policy import load_policy
    from assay.task import load_task
    from evaluators.explanation import explain, power_warnings

    rules, asked = load_policy(policy), load_task(task)
    for sentence in explain(rules, asked):
        print(sentence)
    golden_set = DvcGoldenSource(Path.cwd()).load(golden, asked.labels)
    for sentence in power_warnings(rules, asked, golden_set):
        say(f"warning: {sentence}")
