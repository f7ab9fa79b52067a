"""Meets every row of the corpus, each in a process of its own, and says what that cost.

Run as a program: `python -m tests.adversarial.measure FOLDER`. It imports everything once and then
forks twice a row: one child makes the hostile thing, the other meets it. The kernel says how much
memory and time the second one took; a child that takes far too much of either is ended.
"""

import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from assay.errors import AssayError
from tests.adversarial import (
    hostile_documents,
    hostile_evidence,
    hostile_folders,
    hostile_releases,
    hostile_templates,
    hostile_weights,
)
from tests.adversarial.corpus import Hostile, Outcome, copied
from tests.adversarial.world import make_world

CORPUS: tuple[Hostile, ...] = (
    *hostile_folders.ALL,
    *hostile_weights.ALL,
    *hostile_templates.ALL,
    *hostile_releases.ALL,
    *hostile_evidence.ALL,
    *hostile_documents.ALL,
)
_ADDRESS_SPACE = 8 * 2**30
_PATIENCE_S = 60


def meet_all(rows: Sequence[Hostile], world: Path) -> list[Outcome]:
    """Makes and meets rows."""
    return [_meet(row, world) for row in rows]


def _meet(row: Hostile, world: Path) -> Outcome:
    folder = Path(tempfile.mkdtemp(dir=world.parent))
    try:
        made = _in_child(lambda: _build(row, folder, world))[0]
        if made != 0:
            raise RuntimeError(f"{row.name!r} could not be made (see above)")
        report = folder / "outcome.json"
        status, used = _in_child(lambda: _report(row, folder, report))
        told = json.loads(report.read_text()) if report.exists() else {}
        return Outcome(
            name=row.name,
            error=told.get("error"),
            code=told.get("code"),
            message=told.get("message", f"ended with status {status}"),
            trace=told.get("trace", ""),
            peak_mb=used.ru_maxrss / 1024,
            seconds=used.ru_utime + used.ru_stime,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _build(row: Hostile, folder: Path, world: Path) -> None:
    if row.needs_world:
        copied(world, folder)
    row.build(folder)


def _report(row: Hostile, folder: Path, report: Path) -> None:
    told: dict[str, str | None] = {}
    try:
        found = row.meet(folder)
    except AssayError as error:
        told = {"error": type(error).__name__, "code": error.code, "message": str(error)}
    except BaseException as error:
        told = {
            "error": type(error).__name__,
            "message": str(error)[:500],
            "trace": traceback.format_exc()[-4000:],
        }
    else:
        told = {"message": f"accepted: {str(found)[:300]}"}
    report.write_text(json.dumps(told))


def _in_child(work: Callable[[], object]) -> tuple[int, resource.struct_rusage]:
    """Runs work in a fork of this process; returns its exit status and what it used."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_PATIENCE_S)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    _, status, used = os.wait4(child, 0)
    return status, used


def main() -> None:
    """Makes the world, meets the corpus (or the rows whose name holds a word), prints outcomes."""
    root = Path(sys.argv[1])
    wanted = [row for row in CORPUS if len(sys.argv) < 3 or sys.argv[2] in row.name]
    world = root / "world"
    world.mkdir()
    if _in_child(lambda: make_world(world))[0] != 0:
        raise SystemExit("the honest world could not be made (see above)")
    json.dump([asdict(outcome) for outcome in meet_all(wanted, world)], sys.stdout)


if __name__ == "__main__":
    main()
