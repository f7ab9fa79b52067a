"""Private folders in which copies are made, swept when their owner is gone.

Decides how such a folder is known to be alive: its owner holds a lock on the folder itself, which
the kernel takes back however the owner ends. So a folder that can be locked belongs to nobody.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STAGING_PREFIXES = (".assay-publish-", ".assay-verify-")
"""Of folders in the machine's temporary folder; others lie beside what they become."""


@contextmanager
def staging_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Makes a private folder that is removed at the end, unless it was renamed before.

    Folders of the same prefix whose owners are gone are removed first.

    Raises:
        OSError: no folder can be made there.
    """
    sweep(parent, prefix)
    folder, lock = _locked_folder(parent, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(parent: Path, prefix: str) -> list[str]:
    """Removes the folders that dead owners left; returns their names."""
    swept = []
    for folder in sorted(parent.glob(f"{prefix}*")):
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                swept.append(folder.name)
        except OSError:  # somebody lives there
            pass
        finally:
            os.close(lock)
    return swept


def _locked_folder(parent: Path, prefix: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        # A sweeper may take it before it is locked; then another one is made.
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.fstat(lock).st_nlink and folder.exists():
                return folder, lock
            os.close(lock)
