"""Finds evaluators by their file's name and builds them from the policy.

Decides which evaluators a policy asks for and whether their options make sense; leaves judging to
them. An evaluator is the one class derived from `Evaluator` that a module of this package defines.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

import evaluators
from assay.documents import describe
from assay.errors import ConfigError
from assay.policy import Policy
from assay.task import Task
from evaluators.base import Evaluator


def available() -> dict[str, type[Evaluator]]:
    """Returns every evaluator of this package: name → class, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(evaluators.__path__))
    found = {name: _evaluator_in(name) for name in names}
    return {name: kind for name, kind in found.items() if kind is not None}


def build(
    policy: Policy, task: Task, *, only: Sequence[str] = (), where: str = "policy.yaml"
) -> tuple[Evaluator, ...]:
    """Builds the policy's evaluators, in the policy's order.

    Args:
        policy: the policy.
        task: what the options must fit (class names).
        only: build these alone; all when empty.
        where: file name for the error message.

    Raises:
        ConfigError: unknown evaluator, option or class, or a value out of range; lists the known
            ones. `only` names an evaluator that the policy does not hold.
    """
    absent = [name for name in only if name not in policy.evaluators]
    if absent:
        raise ConfigError(
            f"--only names {absent[0]!r}, which {where} does not; expected one of "
            f"{_listed(policy.evaluators)}; correct --only or add the evaluator to the policy"
        )
    # All are built, so that a mistake in one is found even where another is asked for.
    built = [_build(name, options, task, where) for name, options in policy.evaluators.items()]
    return tuple(item for item in built if not only or item.name in only)


def _build(name: str, options: Mapping[str, Any], task: Task, where: str) -> Evaluator:
    known = {module.name for module in pkgutil.iter_modules(evaluators.__path__)}
    kind = _evaluator_in(name) if name in known else None
    if kind is None:
        raise ConfigError(
            f"{where}: evaluators: {name!r} is not an evaluator; expected one of "
            f"{_listed(available())}; correct the name, or add the file evaluators/{name}.py"
        )
    accepted = [field.name for field in fields(kind) if field.init]
    unknown = [option for option in options if option not in accepted]
    if unknown:
        raise ConfigError(
            f"{where}: evaluators.{name}: {unknown[0]!r} is not an option; expected one of "
            f"{_listed(accepted)}; correct the policy"
        )
    try:
        evaluator = TypeAdapter(kind).validate_python(dict(options))
    except ValidationError as error:
        raise ConfigError(
            f"{where}: evaluators.{name}: {describe(error)}; correct the policy"
        ) from None
    try:
        evaluator.check(task)
    except ConfigError as error:
        raise ConfigError(f"{where}: evaluators.{name}: {error}") from None
    return evaluator


def _evaluator_in(name: str) -> type[Evaluator] | None:
    module = importlib.import_module(f"evaluators.{name}")
    kinds = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Evaluator)
        and kind.__module__ == module.__name__
        and not inspect.isabstract(kind)
    ]
    if len(kinds) > 1:
        raise ConfigError(
            f"evaluators/{name}.py: defines {len(kinds)} evaluators; expected one a file; split it"
        )
    return kinds[0] if kinds else None


def _listed(names: Mapping[str, Any] | Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
