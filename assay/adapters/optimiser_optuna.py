"""The optimiser on Optuna: a tree-structured Parzen estimator whose study outlives the process.

Decides what Optuna is told: goodput to raise and time to the first word to lower; a trial that did
not meet the objectives is pruned, by how much it missed as a constraint, and one that the engine
refused is pruned further away than any that started, so that the estimator learns from both without
a number being made up. The study is a journal in a file, to which each step is appended; what a
killed process was trying is marked failed and stays spent.

Every trial has a sampler seeded by the study's seed and the trial's number: a study that was
interrupted goes on as it would have gone on.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay import digests
from assay.errors import ConfigError, InfrastructureError
from assay.tuning.ports import Suggestion
from assay.tuning.space import Choice, Parameter, Point, holds
from assay.tuning.trials import RampResult, TrialRecord, TrialState

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

_RECORD = "record"
_POINT = "point"
_REFUSED_BY = 10.0
"""Constraint of a trial that the engine refused: beyond what missing an objective amounts to."""

_STARTUP_TRIALS = 5
"""Points drawn at random before the estimator has anything to estimate from."""

_FRESH_TRIES = 64
_STUDY = "tune"


class OptunaOptimiser:
    """Implements `assay.tuning.ports.Optimiser`.

    Args:
        journal: the study's file; made where it is not there.
        parameters: setting → what it may be.
        seed: decides which points are tried.
    """

    def __init__(self, journal: Path, parameters: Mapping[str, Parameter], seed: int) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        journal.parent.mkdir(parents=True, exist_ok=True)
        self._parameters = dict(parameters)
        self._space = {name: _distribution(one) for name, one in parameters.items()}
        self._seed = seed
        self._begun: dict[int, Trial] = {}
        try:
            self._study = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(journal))),
                study_name=_STUDY,
                directions=["maximize", "minimize"],
                load_if_exists=True,
            )
        except OSError as error:
            raise InfrastructureError(
                f"{journal}: the study cannot be opened ({error.strerror}); see that the folder is "
                "yours and has room"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{journal}: not a study's journal ({type(error).__name__}); expected the file "
                "that `assay tune` wrote; remove it to begin anew"
            ) from error
        self._fail_what_was_killed()

    def past(self) -> Sequence[TrialRecord]:
        """Returns every trial of the study in order; those that a dead process left are killed."""
        return tuple(_record(one) for one in self._study.trials if one.number not in self._begun)

    def begin(self, point: Point) -> Suggestion:
        """Begins trial 0 with the settings as they are; what the space has not is left out."""
        known = {
            name: value
            for name, value in point.items()
            if name in self._parameters and holds(self._parameters[name], value)
        }
        return self._begin(known, point)

    def ask(self) -> Suggestion | None:
        """Returns a point not tried before, None when the space has no other left."""
        tried = {_key(one.point) for one in map(_record, self._study.trials)}
        for attempt in range(_FRESH_TRIES):
            point = self._fresh_point(attempt)
            if _key(point) in tried:
                continue
            return self._begin(point, point)
        return None

    def tell(self, trial: TrialRecord) -> None:
        """Says how a trial ended."""
        from optuna.trial import TrialState as OptunaState

        running, result = self._begun.pop(trial.number), trial.result
        running.set_user_attr(_RECORD, _plain(trial))
        if result is not None and result.ttft_p99_ms is not None:
            self._study.tell(running, [result.goodput_per_s, result.ttft_p99_ms])
            return
        excess = _REFUSED_BY if trial.excess is None else min(trial.excess, _REFUSED_BY / 2)
        running.set_constraint("objectives", excess)
        self._study.tell(running, state=OptunaState.PRUNED)

    def remember(self, key: str, value: Any) -> None:
        """Stores plain JSON with the study."""
        self._study.set_user_attr(key, value)

    def recall(self, key: str) -> Any:
        """Returns what was remembered, None where nothing was."""
        return self._study.user_attrs.get(key)

    # --- inside ---------------------------------------------------------------------------------

    def _begin(self, params: Point, point: Point) -> Suggestion:
        self._study.enqueue_trial(dict(params))
        trial = self._study.ask({name: self._space[name] for name in params})
        trial.set_user_attr(_POINT, dict(point))
        self._begun[trial.number] = trial
        return Suggestion(number=trial.number, point=dict(point))

    def _fresh_point(self, attempt: int) -> dict[str, Any]:
        """Asks a copy of the study, in which a point that was tried before leaves no trace."""
        import optuna

        trials = self._study.trials
        copy = optuna.create_study(
            directions=["maximize", "minimize"], sampler=self._sampler(len(trials), attempt)
        )
        copy.add_trials([one for one in trials if one.state.is_finished()])
        return dict(copy.ask(self._space).params)

    def _sampler(self, number: int, attempt: int) -> "BaseSampler":
        from optuna.samplers import RandomSampler, TPESampler

        text = digests.of_json([self._seed, number, attempt]).removeprefix("sha256:")
        seed = int(text[:8], 16) & 0x7FFFFFFF
        if attempt >= _FRESH_TRIES // 2:  # only chance finds what is left of a small space
            return RandomSampler(seed=seed)
        return TPESampler(seed=seed, n_startup_trials=_STARTUP_TRIALS, multivariate=True)

    def _fail_what_was_killed(self) -> None:
        from optuna.trial import TrialState as OptunaState

        for one in self._study.trials:
            if not one.state.is_finished():
                self._study.tell(one.number, state=OptunaState.FAIL)


def _distribution(parameter: Parameter) -> "BaseDistribution":
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(parameter, Choice):
        return CategoricalDistribution(parameter.values)
    if parameter.whole:
        return IntDistribution(
            int(parameter.low),
            int(parameter.high),
            log=parameter.log,
            step=int(parameter.step or 1),
        )
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)


def _record(found: "FrozenTrial") -> TrialRecord:
    stored = found.user_attrs.get(_RECORD)
    if stored is None:
        return TrialRecord(
            number=found.number,
            point=found.user_attrs.get(_POINT, found.params),
            state=TrialState.KILLED,
            reason="The process that ran it was ended before the trial was.",
        )
    result = stored["result"]
    return TrialRecord(
        **{key: value for key, value in stored.items() if key not in ("state", "result")},
        state=TrialState(stored["state"]),
        result=None if result is None else RampResult(**result),
    )


def _plain(trial: TrialRecord) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(json.dumps(asdict(trial)))
    return value


def _key(point: Mapping[str, object]) -> str:
    plain = {
        name: f"{value:.10g}" if isinstance(value, float) and math.isfinite(value) else value
        for name, value in point.items()
    }
    return json.dumps(plain, sort_keys=True)
