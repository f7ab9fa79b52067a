"""`assay init`: the documents of a user's own model, written and tried on a server that runs."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from assay.cli.output import ExitCode, print_json, print_line, say

if TYPE_CHECKING:
    from flows.endpoint_trial import Trial


def init(
    folder: Annotated[Path, typer.Argument(help="Where they are written.", file_okay=False)] = Path(
        "."
    ),
    name: Annotated[
        str | None, typer.Option(help="The task's name. Default: the folder's.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="What the model may answer. Once for each.")
    ] = None,
    language: Annotated[
        list[str] | None, typer.Option(help="Of the texts: en, vi, … Once for each.")
    ] = None,
    golden: Annotated[
        Path | None,
        typer.Option(help="A golden file: labels and languages are taken from it.", dir_okay=False),
    ] = None,
    readiness_text: Annotated[
        str | None, typer.Option(help="A sentence that any version of the model has a label for.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="A server that runs, on which the documents are tried.")
    ] = None,
    profile: Annotated[
        Literal["cpu", "gpu"], typer.Option(help="The profile of serving.yaml, for --endpoint.")
    ] = "cpu",
    only_try: Annotated[
        bool, typer.Option("--only-try", help="Write nothing: try the documents that are there.")
    ] = False,
    force: Annotated[bool, typer.Option(help="Replace documents that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Writes commented task.yaml, policy.yaml and serving.yaml for your own model.

    All three are written, or none. With --endpoint they are then tried: exit code 12 says that a
    gate could not begin there, and what to mend; the documents stay.

    Example: assay init my-model --golden golden.jsonl --endpoint http://127.0.0.1:8000
    """
    from flows.project_init import FILES, InitRequest, check_documents
    from flows.project_init import init as write

    if only_try and endpoint is None:
        raise typer.BadParameter("--only-try: needs --endpoint; name the server to try them on")
    if only_try:
        check_documents(folder)
    else:
        request = InitRequest(
            folder=folder,
            name=name,
            labels=tuple(label or ()),
            languages=tuple(language or ()),
            golden=golden,
            force=force,
        )
        write(request if readiness_text is None else request.asking(readiness_text))
    written = [] if only_try else [str(folder / one) for one in FILES]
    trials: tuple[Trial, ...] = ()
    if endpoint is not None:
        from flows.endpoint_trial import try_endpoint

        trials = try_endpoint(folder, endpoint, golden=golden, profile=profile, progress=say)
    stops = any(trial.stops for trial in trials)
    if as_json:
        rows = [asdict(trial) for trial in trials]
        print_json({"written": written, "ready": None if not trials else not stops, "tried": rows})
    else:
        _show(written, trials, folder)
    raise typer.Exit(int(ExitCode.INVALID) if stops else 0)


def _show(written: list[str], trials: "tuple[Trial, ...]", folder: Path) -> None:
    for path in written:
        print_line(f"{path}: written")
    for trial in trials:
        sign = "✓" if trial.mend is None else "✗" if trial.needed else "?"
        mend = f" → {trial.mend}" if trial.mend else ""
        print_line(f"{sign} {trial.what}: {trial.found}{mend}")
    if written:
        say(
            f"next: read them, then `assay policy check {folder / 'policy.yaml'} --task "
            f"{folder / 'task.yaml'} --golden GOLDEN`"
        )
