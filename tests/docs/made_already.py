"""What `make test` has made when its tests run, so that a documented `make` takes it as it is."""

import os
import re

from tests.docs.doc_commands import ROOT

BIN = ROOT / ".venv/bin"
DONE = ("setup", "serving", "environments", "golden", "lint", "types", "layers", ".venv/.installed")


def old() -> list[str]:
    """Options by which make takes what was made already as it is."""
    return [f"--old-file={name}" for name in DONE]


def clean_environment() -> dict[str, str]:
    """Returns the environment as a shell has it, without what this run of make and pytest set."""
    mine = re.compile(r"MAKE|MFLAGS|PYTEST|PY_COLORS|GIT_")
    kept = {name: value for name, value in os.environ.items() if not mine.match(name)}
    return kept | {"PATH": f"{BIN}:{os.environ['PATH']}"}
