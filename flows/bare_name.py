"""Lets `prefect deployment run gate-release` mean `gate-release/gate-release`.

Prefect refuses a deployment's name without a slash. Our deployments carry their flow's name, so the
flow's name says everything; this plugin (entry-point group `prefect.plugins`, enabled for this
project in pyproject.toml) completes it before Prefect's command line reads its arguments. Nothing
of Prefect is patched, and since a bare name is never valid, no other command changes its meaning.
"""

import sys
from typing import Any

from prefect.plugins import register_hook

RUN = ("deployment", "run")


@register_hook
def setup_environment(*, ctx: Any) -> None:
    """Completes the name in the running command's arguments; changes no environment variable."""
    sys.argv[:] = completed(sys.argv)


def completed(arguments: list[str]) -> list[str]:
    """Returns the command's arguments with a bare deployment name completed.

    Only `… deployment run NAME …` is changed, and only where NAME, the argument right after `run`,
    is neither an option nor already `flow/deployment`.
    """
    for position in range(1, len(arguments) - 2):
        if tuple(arguments[position : position + 2]) == RUN:
            name = arguments[position + 2]
            if name and "/" not in name and not name.startswith("-"):
                return [*arguments[: position + 2], f"{name}/{name}", *arguments[position + 3 :]]
            break
    return arguments
