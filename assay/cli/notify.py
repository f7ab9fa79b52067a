"""`assay notify …`: whether the people whom a release concerns can be told."""

from dataclasses import asdict
from typing import Annotated

import typer

from assay.cli.output import ExitCode, print_json, print_line
from assay.notifications.notice import Event

app = typer.Typer(no_args_is_help=True, help="Who is told what became of a release.")


def channel_names(incomplete: str) -> list[str]:
    """Completes a channel's name; says nothing where the file is missing or wrong."""
    from assay.errors import AssayError
    from assay.notifications.configuration import load_notifications
    from flows.settings import from_environment

    try:
        path = from_environment().notifications
        names = [] if path is None else [one.name for one in load_notifications(path).channels]
    except AssayError:
        return []
    return [name for name in names if name.startswith(incomplete)]


@app.command("test")
def try_channels(
    channel: Annotated[
        list[str] | None,
        typer.Option(help="Only this one. May be repeated.", autocompletion=channel_names),
    ] = None,
    event: Annotated[Event, typer.Option(help="What is said to have happened.")] = "promoted",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Tells the channels of notifications.yaml something marked as a test; says what came of it.

    Every channel is tried, whichever events it wants. Exit code 0: all were told; 12: not all.

    Example: assay notify test --channel team
    """
    import os

    from assay.errors import ConfigError
    from assay.notifications.configuration import load_notifications
    from flows.notices import sample_notice
    from flows.notifying import send
    from flows.settings import from_environment

    settings = from_environment()
    if settings.notifications is None:
        raise ConfigError(
            "notifications.yaml: no such file; expected the channels that are told; write it as in "
            "docs/notifications.md, or name it in ASSAY_NOTIFICATIONS"
        )
    configured = load_notifications(settings.notifications)
    names = [one.name for one in configured.channels]
    unknown = [name for name in channel or () if name not in names]
    if unknown:
        raise ConfigError(
            f"--channel {unknown[0]!r}: {settings.notifications} has no such channel; expected one "
            f"of {', '.join(names)}; correct it"
        )
    wanted = [one for one in configured.channels if not channel or one.name in channel]
    done = send(sample_notice(event, settings.who), configured, wanted, os.environ)
    if as_json:
        print_json(
            {"told": all(one.delivered for one in done), "channels": [asdict(d) for d in done]}
        )
    else:
        for one in done:
            said = "told" if one.delivered else f"not told: {one.note}"
            print_line(f"{'✓' if one.delivered else '✗'} {one.channel} ({one.kind}): {said}")
    if not all(one.delivered for one in done):
        raise typer.Exit(int(ExitCode.INVALID))
