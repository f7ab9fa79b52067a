"""What the shell completes beside commands and options: models, versions, runs.

Decides what is cheap enough to look up while somebody types: folders of this machine. A store that
is elsewhere is not asked. Whatever goes wrong completes nothing, and is said by the command itself.
"""

from collections.abc import Iterable
from pathlib import Path

import typer

from assay.errors import AssayError

_MOST = 200


def model_names(incomplete: str) -> list[str]:
    """Completes a model's name from a store on this machine."""
    root = _store_root()
    return [] if root is None else _beginning(incomplete, _folders(root))


def version_names(context: typer.Context, incomplete: str) -> list[str]:
    """Completes a version of the model that stands before it."""
    # Before an option's value the words are not parsed yet: the model is the first of them.
    root, model = _store_root(), context.params.get("model") or next(iter(context.args), None)
    if root is None or not isinstance(model, str) or model != Path(model).name:
        return []
    return _beginning(incomplete, _folders(root / model))


def run_names(incomplete: str) -> list[str]:
    """Completes a gate's id from this machine's runs and reports, the latest first."""
    from flows.settings import from_environment

    try:
        settings = from_environment()
    except AssayError:
        return []
    known = {*_folders(settings.runs), *_folders(settings.reports)}
    return _beginning(incomplete, known)[::-1]


def _store_root() -> Path | None:
    from flows.settings import from_environment

    try:
        store = from_environment().store.removeprefix("file://")
    except AssayError:
        return None
    return None if "://" in store else Path(store)


def _folders(parent: Path) -> list[str]:
    try:
        return [
            one.name for one in parent.iterdir() if one.is_dir() and not one.name.startswith(".")
        ]
    except OSError:
        return []


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))[-_MOST:]
