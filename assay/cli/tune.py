"""`assay tune`: searches better engine settings, and recommends a change or to keep the present."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from assay.cli.output import TimedProgress, print_json, print_line, results_only, say


def tune(
    model: Annotated[str, typer.Argument(help="The model's name in the trusted store.")],
    version: Annotated[
        str | None, typer.Argument(help="The version. Default: the one in production.")
    ] = None,
    space: Annotated[Path, typer.Option(help="Which settings may be changed.")] = Path("tune.yaml"),
    policy: Annotated[Path, typer.Option(help="Holds the load's objectives.")] = Path(
        "policy.yaml"
    ),
    task: Annotated[Path, typer.Option(help="What the model is asked.")] = Path("task.yaml"),
    serving: Annotated[Path, typer.Option(help="The settings as they are.")] = Path("serving.yaml"),
    profile: Annotated[
        Literal["cpu", "gpu"], typer.Option(help="The profile of serving.yaml.")
    ] = "cpu",
    backend: Annotated[
        Literal["docker", "process"] | None,
        typer.Option(help="Where the engines run. Default: docker where it can, else process."),
    ] = None,
    golden: Annotated[
        str | None, typer.Option(help="Git revision or file. Default: the working tree's.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Settings to try in all. Default: the space's.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Change serving.yaml, where a change is recommended.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print trials.json to stdout.")] = False,
) -> None:
    """Searches better engine settings for a version; the same command goes on with a killed search.

    Example: assay tune emotion-demo --trials 8
    """
    from flows.settings import from_environment
    from flows.steps import PlainSteps
    from flows.tuning import conduct_tuning
    from flows.tuning_request import TuneRequest, load_tune_documents
    from flows.tuning_wiring import wire_tuning

    request = TuneRequest(
        model=model,
        version=version,
        space=space,
        policy=policy,
        task=task,
        serving=serving,
        profile=profile,
        backend=backend,
        golden=golden,
        trials=trials,
        apply=apply,
    )
    load_tune_documents(request)  # a wrong file is said before a missing key or engine is
    settings, progress = from_environment(), TimedProgress()
    with results_only():
        result = conduct_tuning(
            request,
            settings=settings,
            ports=wire_tuning(request, settings),
            steps=PlainSteps(progress),
            progress=progress,
        )
    if as_json:
        print_json(result.document)
    else:
        print_line(result.outcome.recommendation.reason)
        if result.diff:
            print_line("")
            print_line(result.diff.rstrip("\n"))
    say(f"report:  {result.folder / 'report.md'}")
    say(f"picture: {result.folder / 'pareto.svg'}")
    if result.serving is not None:
        say(f"serving: {serving if result.applied else result.serving}")
    say(result.next_step)
