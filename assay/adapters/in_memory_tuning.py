"""A record of tuning in dictionaries, for tests of everything that tunes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assay.tuning.ports import StudyRecord
from assay.tuning.space import Value
from assay.tuning.trials import TrialRecord


@dataclass(slots=True)
class InMemoryTuningLog:
    """Implements `assay.tuning.ports.TuningLog`; a study's run is named after the study."""

    studies: dict[str, StudyRecord] = field(default_factory=dict)
    trials: dict[str, dict[int, TrialRecord]] = field(default_factory=dict)
    params: dict[str, dict[int, Mapping[str, Value]]] = field(default_factory=dict)
    metrics: dict[str, dict[int, Mapping[str, float]]] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def open(self, study: StudyRecord) -> str:
        """Returns the id of the study's run, which is made or found again."""
        self.studies.setdefault(study.study, study)
        return study.study

    def log_trial(
        self,
        run: str,
        trial: TrialRecord,
        params: Mapping[str, Value],
        metrics: Mapping[str, float],
    ) -> None:
        """Stores one trial; one that is stored already is left as it is."""
        if trial.number not in self.trials.setdefault(run, {}):
            self.trials[run][trial.number] = trial
            self.params.setdefault(run, {})[trial.number] = dict(params)
            self.metrics.setdefault(run, {})[trial.number] = dict(metrics)

    def close(self, run: str, folder: Path, *, reason: str, metrics: Mapping[str, float]) -> None:
        """Stores the recommendation and the names of its files."""
        self.closed[run] = reason
        self.files[run] = tuple(sorted(path.name for path in folder.iterdir()))
