"""Whether a folder is the artifact that a digest names.

Decides it from the folder's own manifest, whose digest is the artifact's identity, and the bytes
beside it. The folder is a version as it lies in the store, or one that `assay store pull` made.
Nothing here says who signed the artifact: that is the store's.
"""

import hashlib
from pathlib import Path

from pydantic import ValidationError

from assay.artifact import MANIFEST, METADATA, SEALS, Manifest
from assay.documents import describe, parse_json, read_text
from assay.errors import ArtifactError, ConfigError

_MAX_FILES = 4096


def artifact_digest(folder: Path) -> str:
    """Returns the digest of the artifact in a folder, once every file is what it states.

    Raises:
        ArtifactError: a file is missing, altered, of another kind or not in the manifest.
        ConfigError: there is no manifest in or beside the folder.
    """
    model, seals = _places(folder)
    text = read_text(seals / MANIFEST)
    try:
        manifest = Manifest.model_validate(parse_json(text, str(seals / MANIFEST)))
    except ValidationError as error:
        raise ArtifactError(f"{seals / MANIFEST}: {describe(error)}") from None
    except ConfigError as error:
        raise ArtifactError(str(error)) from None
    found = {name: seals / name for name in (METADATA,) if model != seals}
    for number, path in enumerate(sorted(model.rglob("*"))):
        name = path.relative_to(model).as_posix()
        if number > _MAX_FILES or path.is_symlink() or not path.is_file():
            raise ArtifactError(f"{path}: expected only plain files; this is no artifact")
        if name not in SEALS:
            found[name] = path
    for name in sorted(found.keys() | manifest.files.keys()):
        entry, file = manifest.files.get(name), found.get(name)
        if entry is None or file is None or not file.is_file() or _sha256(file) != entry.sha256:
            raise ArtifactError(
                f"{folder}: {name} is not what the artifact's manifest states; pull the version "
                "again, and find out who could write to this copy"
            )
    return manifest.digest


def _places(folder: Path) -> tuple[Path, Path]:
    """Returns the folder of the model's files and that of its seals."""
    for model, seals in (
        (folder, folder),
        (folder / "model", folder / "seals"),
        (folder, folder.parent / "seals"),
    ):
        if (seals / MANIFEST).is_file() and model.is_dir():
            return model, seals
    raise ConfigError(
        f"{folder}: no {MANIFEST} in it, nor in {folder.parent / 'seals'}; expected a version as "
        "it lies in the store, or as `assay store pull` made it; name that folder"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
