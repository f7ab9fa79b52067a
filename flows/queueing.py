"""Who waits for whom on this machine: one gate at a time on each device.

Two engines of two gates on one GPU would not fit, and on one processor each would measure the
other. A gate takes every device that its engines use, in one order, so that no two wait for each
other. The locks are files, which the kernel frees however their holder ends. Limit: gates that see
different folders for temporary files (in containers of their own) share a queue only where
`ASSAY_DEVICE_LOCKS` names one folder for both. Whose turn it is to gate a model is the registry's.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from assay.errors import InfrastructureError
from assay.ports import Progress


@contextmanager
def devices(names: Sequence[str], folder: Path, progress: Progress) -> Iterator[None]:
    """Holds the named devices for the length of the block; says whom it waits for.

    Raises:
        InfrastructureError: the folder of the locks cannot be written.
    """
    with ExitStack() as stack:
        for name in sorted(set(names)):
            # Not tied to a thread: a step may run in another one than the gate.
            lock = FileLock(folder / f"device-{name}.lock", thread_local=False)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=0)
            except Timeout:
                progress(f"another gate uses {name} ({lock.lock_file}); waiting for it to finish")
                lock.acquire()
            except OSError as error:
                raise InfrastructureError(
                    f"{lock.lock_file}: cannot be locked ({error.strerror}); name a folder that "
                    "this user can write in ASSAY_DEVICE_LOCKS"
                ) from error
            stack.callback(lock.release)
        yield
