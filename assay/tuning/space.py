"""The search space (`tune.yaml`): which engine settings may be changed, and to what.

Decides what a space may say and which points it has; leaves choosing points to the optimiser and
what an engine makes of them to the engine.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from assay import digests
from assay.documents import Document, read_yaml
from assay.errors import ConfigError
from assay.serving_profile import refuse_dangerous, refuse_dangerous_variable

Value = bool | int | float | str
"""What one setting may be: True gives `--flag`, False gives `--no-flag`."""

Point = Mapping[str, Value]
"""Setting → value, for every setting of a space."""


def _argument(name: str) -> str:
    if not name.startswith("--") or name.startswith("--no-") or "=" in name or name == "--":
        raise ValueError(
            f"{name!r} is no engine argument: expected its long form without a value, such as "
            "--max-num-seqs; a switch is named without `no-`, its values are true and false"
        )
    refuse_dangerous(name)
    return name


def _variable(name: str) -> str:
    refuse_dangerous_variable(name)
    return name


Argument = Annotated[str, AfterValidator(_argument)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), AfterValidator(_variable)]


class Choice(Document):
    """A setting with a list of values; those of a switch are true and false."""

    values: tuple[Value, ...] = Field(min_length=1, description="What it may be.")

    @field_validator("values")
    @classmethod
    def _are_different(cls, values: tuple[Value, ...]) -> tuple[Value, ...]:
        if len({str(value) for value in values}) < len(values):
            raise ValueError("a value is given twice; expected each once")
        # The engine would read it as an argument of its own.
        if any(isinstance(value, str) and value.startswith("-") for value in values):
            raise ValueError("a text begins with a dash; expected a value, and numbers as numbers")
        return values


class Range(Document):
    """A setting with a range of numbers, both ends included."""

    low: int | float = Field(description="Least value.")
    high: int | float = Field(description="Greatest value.")
    step: int | float | None = Field(
        default=None, gt=0, description="Distance of neighbours; left out, whole numbers have 1."
    )
    log: bool = Field(default=False, description="Whether equal factors are equally likely.")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"expected low < high, found {self.low!r} and {self.high!r}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("a logarithmic range begins above 0 and has no step")
        return self

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return all(isinstance(n, int) for n in (self.low, self.high, self.step or 1))


Parameter = Choice | Range


def holds(parameter: Parameter, value: object) -> bool:
    """Whether a value is one that the parameter may have."""
    if isinstance(parameter, Choice):
        return any(one == value and type(one) is type(value) for one in parameter.values)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if not parameter.low <= value <= parameter.high:
        return False
    step = parameter.step or (1 if parameter.whole else None)
    if step is None:
        return True
    steps = (value - parameter.low) / step
    return math.isclose(steps, round(steps), abs_tol=1e-9)


class ProfileSpace(Document):
    """What may be changed of one profile of `serving.yaml`."""

    arguments: dict[Argument, Parameter] = Field(
        default_factory=dict, description="Engine argument → what it may be."
    )
    environment: dict[Variable, Parameter] = Field(
        default_factory=dict, description="Environment variable → what it may be."
    )

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if all(
            isinstance(one, Choice) and len(one.values) == 1 for one in self.parameters.values()
        ):
            raise ValueError(
                "an empty space: expected at least one argument or environment variable with two "
                "values; there is nothing to search"
            )
        return self

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Setting → what it may be; arguments begin with `--`, so no names meet."""
        return {**self.arguments, **self.environment}


class TuningPlan(Document):
    """The whole of `tune.yaml`."""

    schema_version: Literal[1]
    profiles: dict[Literal["cpu", "gpu"], ProfileSpace] = Field(
        min_length=1, description="Profile of `serving.yaml` → what may be changed of it."
    )
    trials: int = Field(
        default=16, ge=2, le=10_000, description="Settings to try; the present ones are the first."
    )
    confirmations: int = Field(
        default=3, ge=2, le=20,
        description="Times that the best and the present settings are measured again, in turn, "
        "before one is recommended.",
    )  # fmt: skip
    minutes: float | None = Field(
        default=None, gt=0, allow_inf_nan=False,
        description="No trial is begun later than so many minutes after the command.",
    )  # fmt: skip
    seed: int = Field(default=0, ge=0, lt=2**31, description="Decides which settings are tried.")
    load: str = Field(
        default="ramp", description="Load profile that measures a trial; it must have a search."
    )
    price_per_hour: float | None = Field(
        default=None, gt=0, allow_inf_nan=False,
        description="What the machine costs an hour, in any one currency; left out, cost is not "
        "shown.",
    )  # fmt: skip

    def space(self, profile: str, *, where: str) -> ProfileSpace:
        """Returns the space of one profile.

        Raises:
            ConfigError: the document has none for it.
        """
        for known, space in self.profiles.items():
            if known == profile:
                return space
        raise ConfigError(
            f"{where}: no space for the profile {profile!r}; expected one of "
            f"{', '.join(self.profiles)}; add it under profiles:"
        )

    @property
    def digest(self) -> str:
        """Digest of what decides which settings are tried; the budget does not."""
        return digests.of_json(self.model_dump(mode="json", include={"profiles", "seed", "load"}))


def load_plan(path: Path) -> TuningPlan:
    """Reads and validates `tune.yaml`.

    Raises:
        ConfigError: names the file, the field, what was found and what was expected.
    """
    return read_yaml(path, TuningPlan)
