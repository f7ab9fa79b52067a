"""Renders a chat template in a process of its own, which may use little time and little memory.

Decides the bounds. The lint has refused the obvious bombs before; this stops those it missed, for a
sandbox stops code and not waste.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from assay.artifact_files import refuse
from assay.errors import ArtifactError, InfrastructureError

CPU_S = 2
WALL_S = 30
MEMORY_BYTES = 512 * 2**20
OUTPUT_BYTES = 2**20
_PROGRAM = f"""
import resource
resource.setrlimit(resource.RLIMIT_CPU, ({CPU_S}, {CPU_S}))
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY_BYTES}, {MEMORY_BYTES}))
resource.setrlimit(resource.RLIMIT_FSIZE, ({OUTPUT_BYTES}, {OUTPUT_BYTES}))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
from assay.chat_template_rendering import main
main()
"""
_ROOT = Path(__file__).resolve().parents[2]


def render_bounded(template: str, name: str) -> list[str | None]:
    """Returns the template's golden renderings (see `chat_template_rendering`).

    Raises:
        ArtifactError: it does not render within the bounds.
        InfrastructureError: no process can be started.
    """
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(  # noqa: S603 - our own program; the template is its input
                [sys.executable, "-c", _PROGRAM],
                input=template.encode(),
                stdout=output,
                stderr=subprocess.DEVNULL,
                timeout=WALL_S,
                check=False,
                cwd=_ROOT,
                env={"PATH": os.environ.get("PATH", ""), "PYTHONHASHSEED": "0"},
            )
        except subprocess.TimeoutExpired:
            raise _bomb(name, f"did not render within {WALL_S} s") from None
        except OSError as error:
            raise InfrastructureError(
                f"{name}: no process can be started to render it ({error.strerror}); free memory "
                "and try again"
            ) from error
        if done.returncode != 0:
            raise _bomb(
                name,
                f"did not render within {CPU_S} s, {MEMORY_BYTES // 2**20} MiB of memory and "
                f"{OUTPUT_BYTES // 2**20} MiB of words",
            )
        output.seek(0)
        rendered: list[str | None] = json.load(output)
    return rendered


def _bomb(name: str, what: str) -> ArtifactError:
    return refuse("template-bomb", f"{name}: the chat template {what}; simplify the template")
