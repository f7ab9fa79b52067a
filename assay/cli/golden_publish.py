"""`assay golden publish`: a proposed golden set becomes the version in force, or none."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from assay.cli.output import TimedProgress, print_json, print_line, results_only


def publish(
    proposal: Annotated[
        Path, typer.Argument(help="What `assay golden ingest` wrote, or a golden file.")
    ],
    why: Annotated[str, typer.Option(help="Why: a sentence for the changelog.")],
    version: Annotated[
        str | None, typer.Option(help="The version. Default: the proposal's own.")
    ] = None,
    bump: Annotated[
        Literal["major", "minor", "patch"] | None, typer.Option(help="Or which number to raise.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="For a golden file: the version it was made from.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="The curator's key. Default: the gate's own.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Score this model's production on it afterwards.")
    ] = None,
    task: Annotated[Path, typer.Option(help="What the model is asked.")] = Path("task.yaml"),
    policy: Annotated[Path, typer.Option(help="The thresholds.")] = Path("policy.yaml"),
    serving: Annotated[Path, typer.Option(help="How vLLM is started.")] = Path("serving.yaml"),
    profile: Annotated[
        Literal["cpu", "gpu"], typer.Option(help="The profile of serving.yaml.")
    ] = "cpu",
    backend: Annotated[
        Literal["docker", "process"] | None, typer.Option(help="Where the engine runs.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Publishes a golden version: DVC push, commit, tag, changelog, signed manifest, MLflow.

    All or nothing: until the tag is set the old version is in force, and after it the new one. The
    same command goes on where a killed one stopped.

    Example: assay golden publish proposal --why "61 fear cases of last week" --model emotion-demo
    """
    from dataclasses import asdict

    from flows.golden_publishing import PublishRequest
    from flows.golden_publishing import publish as publish_golden
    from flows.golden_wiring import wire_publication
    from flows.request import GateRequest
    from flows.settings import from_environment
    from flows.steps import PlainSteps

    progress = TimedProgress()
    steps = PlainSteps(progress)
    gate = None
    if model is not None:  # the version is production's, which is not known before it is asked
        gate = GateRequest(
            model=model,
            version="0",
            task=task,
            policy=policy,
            serving=serving,
            profile=profile,
            backend=backend,
        )
    with results_only():
        ports = wire_publication(
            from_environment(),
            root=Path.cwd(),
            key=key,
            gate=gate,
            steps=steps,
            progress=progress,
        )
        done = publish_golden(
            PublishRequest(
                proposal=proposal, why=why, version=version, bump=bump, base=base, task=task
            ),
            ports=ports,
            steps=steps,
            progress=progress,
        )
    if as_json:
        print_json(asdict(done))
        return
    print_line(f"{done.tag}: {done.digest}, committed on {done.branch} as {done.commit[:12]}")
    print_line(f"recorded: {done.recorded_as}")
    print_line(f"baseline: {done.baseline}")
    print_line(f"share it: git push REMOTE {done.branch} {done.tag}")
