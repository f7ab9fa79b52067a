"""`assay audit`: holds compose files and Kubernetes manifests against the serving rules."""

from pathlib import Path
from typing import Annotated, Any

import typer

from assay.cli.output import ExitCode, print_json, print_line, say


def audit(
    files: Annotated[
        list[Path], typer.Argument(help="Compose files or Kubernetes manifests.", dir_okay=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Says which serving rules a compose file or Kubernetes manifest breaks, with the line.

    Exit code 0: none; 10: some; 2: a file cannot be read or describes no vLLM server.

    Example: assay audit compose.yaml deployment.yaml
    """
    from dataclasses import asdict

    from assay.errors import ConfigError
    from assay.serving_audit import audit as audit_containers
    from assay.serving_audit_files import read_containers

    found: list[dict[str, Any]] = []
    engines = 0
    for path in files:
        containers = read_containers(path)
        engines += sum(container.is_engine for container in containers)
        found += [{"file": str(path), **asdict(one)} for one in audit_containers(containers)]
    if not engines:
        raise ConfigError(
            f"{', '.join(map(str, files))}: no container that runs vLLM (by image, command or "
            "engine options); name the file that starts the engine"
        )
    if as_json:
        print_json({"engines": engines, "findings": found})
    else:
        for one in found:
            print_line(
                f"{one['file']}:{one['line']}: {one['rule']}: {one['where']} has {one['found']}: "
                f"{one['why']}; {one['action']}"
            )
        say(f"{len(found)} broken rules in {engines} vLLM container(s)")
    if found:
        raise typer.Exit(ExitCode.BLOCK)
