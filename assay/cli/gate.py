"""`assay gate`, and the commands about this machine: `reap` and `doctor`."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from assay.cli.ci_files import Junit, Summary, write_ci_files
from assay.cli.completion import model_names, run_names, version_names
from assay.cli.output import ExitCode, TimedProgress, print_json, print_line, results_only, say
from assay.cli.verdict_table import print_verdict

if TYPE_CHECKING:
    from flows.conclude import GateResult
    from flows.request import GateRequest

Backend = Literal["docker", "process", "endpoint", "kubernetes"]


def gate(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(help="The model's name in the trusted store.", autocompletion=model_names),
    ] = None,
    version: Annotated[
        str | None,
        typer.Argument(help="The candidate's version.", autocompletion=version_names),
    ] = None,
    policy: Annotated[Path, typer.Option(help="The thresholds.")] = Path("policy.yaml"),
    task: Annotated[Path, typer.Option(help="What the model is asked.")] = Path("task.yaml"),
    serving: Annotated[Path, typer.Option(help="How vLLM is started.")] = Path("serving.yaml"),
    profile: Annotated[
        Literal["cpu", "gpu"], typer.Option(help="The profile of serving.yaml.")
    ] = "cpu",
    backend: Annotated[
        Backend | None,
        typer.Option(help="Where the engine runs. Default: docker where it can, else process."),
    ] = None,
    candidate_url: Annotated[
        str | None, typer.Option(help="With --backend endpoint: the candidate's server.")
    ] = None,
    production_url: Annotated[
        str | None, typer.Option(help="With --backend endpoint: production's server.")
    ] = None,
    golden: Annotated[
        str | None, typer.Option(help="Git revision or file. Default: the working tree's.")
    ] = None,
    report_dir: Annotated[
        Path | None, typer.Option(help="Folder of the evidence. Default: one a run.")
    ] = None,
    production_serving: Annotated[
        Path | None,
        typer.Option(
            help="Production's own serving file: judges engine settings, not the model. Default: "
            "what production was promoted with, where the version is the one in production."
        ),
    ] = None,
    change: Annotated[
        Literal["standard", "emergency", "low-risk"],
        typer.Option(help="The class of the change, by which the policy asks for approvals."),
    ] = "standard",
    resume: Annotated[
        str | None,
        typer.Option(
            help="Go on with a run that was killed, in place of everything above.",
            autocompletion=run_names,
        ),
    ] = None,
    junit: Junit = None,
    summary: Summary = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print verdict.json to stdout.")] = False,
) -> None:
    """Judges a version against production, and promotes or blocks it.

    Exit code 0: promote, or overridden. A promote whose alias did not move is not shipped: it exits
    with 1.

    Example: assay gate emotion-demo 1.1.0 --backend process
    """
    from flows.request import GateRequest

    if resume is not None:
        _refuse_others(context)
        with ExitStack() as held:
            _finish(_resumed(resume, held), as_json=as_json, junit=junit, summary=summary)
    if model is None or version is None:
        raise typer.BadParameter(
            "no MODEL and VERSION; expected both, or --resume RUN; say what is to be judged"
        )
    request = GateRequest(
        model=model,
        version=version,
        policy=policy,
        task=task,
        serving=serving,
        profile=profile,
        backend=backend,
        candidate_url=candidate_url,
        production_url=production_url,
        golden=golden,
        report_dir=report_dir,
        production_serving=production_serving,
    )
    with ExitStack() as held:
        _finish(_gated(request, held), as_json=as_json, junit=junit, summary=summary)


def _gated(request: "GateRequest", held: ExitStack) -> "GateResult":
    from flows.conduct import conduct
    from flows.request import load_documents
    from flows.settings import from_environment
    from flows.steps import PlainSteps
    from flows.wiring import wire

    load_documents(request)  # a wrong file is said before a missing key or engine is
    settings, progress = from_environment(), TimedProgress()
    with results_only():
        ports = wire(request, settings)
        held.callback(ports.watch.close)  # telemetry has its time after the verdict is printed
        return conduct(
            request,
            settings=settings,
            ports=ports,
            steps=PlainSteps(progress),
            progress=progress,
        )


def _resumed(run_id: str, held: ExitStack) -> "GateResult":
    from flows import resuming, teardown
    from flows.conduct import conduct
    from flows.settings import from_environment
    from flows.steps import PlainSteps
    from flows.wiring import wire

    settings, progress = from_environment(), TimedProgress()
    with results_only():
        done = resuming.finished_result(settings, run_id)  # needs no store, no registry, no engine
        if done is not None:
            teardown.remove_staged(settings, mine=run_id)  # killed when all but this was done
            return done
        request = resuming.request_of(settings, run_id)
        ports = wire(request, settings)
        held.callback(ports.watch.close)
        return conduct(
            request,
            settings=settings,
            ports=ports,
            steps=PlainSteps(progress),
            progress=progress,
            resume=run_id,
        )


def _refuse_others(context: typer.Context) -> None:
    """Refuses what is given beside --resume: a run keeps the request it began with."""
    given = [
        name
        for name in context.params
        if name not in ("resume", "as_json", "junit", "summary")
        and (source := context.get_parameter_source(name)) is not None
        and source.name == "COMMANDLINE"
    ]
    if given:
        raise typer.BadParameter(
            f"--resume: given together with {', '.join(sorted(given))}; a run keeps the request it "
            "began with; leave them out, or begin a new run without --resume"
        )


def _finish(
    result: "GateResult", *, as_json: bool, junit: Path | None, summary: Path | None
) -> NoReturn:
    print_verdict(result.verdict, as_json=as_json)
    write_ci_files(
        result.verdict,
        junit=junit,
        summary=summary,
        evidence=result.evidence_dir,
        not_promoted=result.not_promoted,
    )
    say(f"evidence: {result.evidence_dir}")
    say(f"report:   {result.evidence_dir / 'report.html'}")
    if result.promotion is not None:
        say(f"alias:    {result.promotion.reason}")
        if result.promotion.moved:  # also where people have overridden what the verdict says
            raise typer.Exit(int(ExitCode.DONE))
    if result.not_promoted is not None:
        say(
            f"NOT PROMOTED: the verdict is promote, but production did not move: "
            f"{result.not_promoted}"
        )
        raise typer.Exit(int(ExitCode.NOT_PROMOTED))
    raise typer.Exit(result.verdict.verdict.exit_code)


def reap(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Removes engines, sockets and staged copies that dead gates left behind.

    Nothing of a gate that still runs is touched.

    Example: assay reap
    """
    from flows.settings import from_environment
    from flows.wiring import reap_everything

    with results_only():
        lines = reap_everything(from_environment())
    if as_json:
        print_json({"done": list(lines)})
        return
    for line in lines or ("nothing was left behind",):
        say(line)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Says what this machine lacks for which part of Assay, and the command that mends it.

    Exit code 0 whatever it lacks: which parts you need is yours to say.

    Example: assay doctor
    """
    from flows.doctor import examine

    checks = examine()
    if as_json:
        rows = [{"what": c.what, "found": c.found, "mend": c.mend} for c in checks]
        print_json({"ready": not any(check.mend for check in checks), "checks": rows})
    else:
        for check in checks:
            sign = "✓" if check.mend is None else "✗"
            mend = f" → {check.mend}" if check.mend else ""
            print_line(f"{sign} {check.what}: {check.found}{mend}")
