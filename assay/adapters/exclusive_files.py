"""Creates files that must not exist yet, whole or not at all."""

import os
import tempfile
from pathlib import Path

from assay.errors import ConfigError


def create_whole(path: Path, data: bytes, *, mode: int = 0o644) -> bool:
    """Creates a file with its content in one step; False when the name is taken.

    The content is written beside it first and then linked: a reader sees all of it or no file.

    Raises:
        OSError: the folder cannot be written.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


def write_exclusive(path: Path, data: bytes, *, mode: int) -> None:
    """Creates a file, with its folder if need be.

    Raises:
        ConfigError: the file exists or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        created = create_whole(path, data, mode=mode)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); check the path") from None
    if not created:
        raise ConfigError(f"{path}: exists already, and is never overwritten; choose another name")
