"""Where libraries put temporary files while a gate runs.

A library's own temporary folder outlives a gate that is killed, with whatever it copied there
(MLflow: tables of predictions). Those of a gate therefore lie among its staged copies, which the
next gate, or `assay reap`, removes.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.uninterrupted import uninterrupted


@contextmanager
def temporary_files_of(run_id: str, staging: Path) -> Iterator[None]:
    """Has this process's temporary files made in a folder of the run, and removes it.

    Engines look for each other's folders in the common one: none is launched within.
    """
    staging.mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix=f"{run_id}-", dir=staging)
    before, tempfile.tempdir = tempfile.tempdir, folder
    try:
        yield
    finally:
        with uninterrupted():
            tempfile.tempdir = before
            shutil.rmtree(folder, ignore_errors=True)
