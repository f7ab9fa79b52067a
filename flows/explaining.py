"""A recorded gate, found again by any of its names, for whoever asks what it said and why.

Decides where to look (a folder, this machine's reports, the registry) and checks that the evidence
is as it was sealed; leaves proving signatures to `proving` and the words to the verdict itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from assay import evidence
from assay.documents import parse_json, read_text
from assay.errors import ConfigError
from assay.ports import Registry
from assay.records import Verdict
from assay.verdict_document import verdict_from_json
from flows.settings import Settings

_FEW = 5
"""Runs that are named when one cannot be found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A verdict and the folder of its evidence."""

    verdict: Verdict
    folder: Path


def explain(run: str, settings: Settings, registry: Callable[[], Registry]) -> Explained:
    """Finds a gate and reads its verdict.

    Args:
        run: an evidence folder, the id of a gate of this machine, or the id of its MLflow run.
        settings: where the reports of this machine are.
        registry: makes the registry, which is asked where the run is neither a folder nor of this
            machine: its libraries take longer to load than a verdict to read.

    Raises:
        ArtifactError: the evidence is not as it was sealed.
        ConfigError: there is no such run; names the latest ones.
        InfrastructureError: the registry cannot be reached.
    """
    folder = _folder(run, settings, registry)
    evidence.check_seal(folder)
    path = folder / "verdict.json"
    verdict = verdict_from_json(parse_json(read_text(path), str(path)), str(path))
    return Explained(verdict=verdict, folder=folder)


def _folder(run: str, settings: Settings, registry: Callable[[], Registry]) -> Path:
    for folder in (Path(run), settings.reports / run):
        if run.strip() and (folder / evidence.SUMS).is_file():
            return folder
    if len(run) == 32 and run.isalnum():  # the form of MLflow's ids
        fetched = settings.reports / f"mlflow-{run}"
        if not (fetched / evidence.SUMS).is_file():
            registry().evidence(run, fetched)
        return fetched
    known = sorted(path.parent.name for path in settings.reports.glob(f"*/{evidence.SUMS}"))
    raise ConfigError(
        f"{run!r}: no evidence of such a run; expected an evidence folder, the id of an MLflow run "
        f"or one of this machine's gates ({', '.join(known[: -_FEW - 1 : -1]) or 'none yet'}); "
        "look the id up in MLflow or in the report"
    )
