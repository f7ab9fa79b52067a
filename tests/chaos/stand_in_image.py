"""An image of a few megabytes in which the stand-in engine is found where vLLM would be.

Made of this machine's own files (the interpreter, its standard library, and the few programs that
the entry script calls), so that it takes two seconds, needs no registry, and is small enough for a
Docker engine that a test starts for itself.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

ENGINE = Path(__file__).with_name("stand_in_engine.py")
IMAGE = "assay/stand-in:1"
_PROGRAMS = ("sh", "cat", "cp", "mkdir", "setpriv", "sleep", "timeout", "true")
_LEFT_OUT = {"site-packages", "test", "idlelib", "tkinter", "ensurepip", "lib2to3", "config"}
_HOME = "/python"


def build(environment: dict[str, str] | None = None) -> None:
    """Imports the image into the Docker engine that the environment names."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        _pack(archive)
    settings = f"ENV PYTHONHOME={_HOME} PYTHONPATH=/stand-in PATH=/usr/bin:/bin"
    subprocess.run(
        ["docker", "import", "--change", settings, "-", IMAGE],
        input=packed.getvalue(),
        env=os.environ | (environment or {}),
        check=True,
        capture_output=True,
        timeout=120,
    )


def _pack(archive: tarfile.TarFile) -> None:
    python = Path(os.path.realpath(sys.executable))
    programs = {Path(os.path.realpath(shutil.which(name) or "")): name for name in _PROGRAMS}
    version = f"python{sysconfig.get_python_version()}"
    library = Path(sysconfig.get_path("stdlib"))
    for folder in ("tmp", "sock", "model", "assay", "cache", "proc", "dev", "sys", "etc"):
        entry = tarfile.TarInfo(folder)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(entry)
    archive.add(python, "usr/bin/python3", filter=_readable)
    for path, name in programs.items():
        archive.add(path, f"usr/bin/{name}", filter=_readable)
    shell = tarfile.TarInfo("bin")
    shell.type, shell.linkname = tarfile.SYMTYPE, "usr/bin"
    archive.addfile(shell)
    archive.add(library, f"{_HOME.strip('/')}/lib/{version}", filter=_readable)
    modules = (library / "lib-dynload").glob("*.so")
    for name in sorted(_libraries([python, *programs, *modules])):
        archive.add(os.path.realpath(name), name.lstrip("/"), filter=_readable)
    for package in ("vllm", "vllm/entrypoints", "vllm/entrypoints/openai"):
        archive.addfile(_readable(tarfile.TarInfo(f"stand-in/{package}/__init__.py")))
    archive.add(ENGINE, "stand-in/vllm/entrypoints/openai/api_server.py", filter=_readable)


def _readable(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leaves out what is large and not needed; makes the rest readable by nobody's user."""
    if _LEFT_OUT & set(Path(entry.name).parts):
        return None
    entry.mode = 0o755
    entry.uid = entry.gid = 0
    return entry


def _libraries(files: list[Path]) -> set[str]:
    """Returns the shared libraries that programs need, the loader included."""
    found: set[str] = set()
    listed = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False).stdout
    for line in listed.splitlines():
        match = re.match(r"\s+(?:\S+ => )?(/\S+) \(0x", line)
        if match:
            found.add(match[1])
    return found
