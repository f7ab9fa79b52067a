"""A profile's arguments and environment as settings, and settings as a profile.

Decides how a setting is written for the engine (`--name value`, `--name=value`, `--switch`,
`--no-switch`) and keeps everything that is not changed as it stands, in its order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assay.documents import validate
from assay.errors import ConfigError
from assay.serving_profile import Profile
from assay.tuning.space import Choice, Parameter, Point, ProfileSpace, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where an argument stands: the first of its words, how many, and how its value is written."""

    start: int
    words: int
    joined: bool


def present(profile: Profile, space: ProfileSpace) -> dict[str, Value]:
    """Returns the settings that a profile has now; one that it leaves to the engine is absent."""
    found: dict[str, Value] = {}
    for name, parameter in space.parameters.items():
        if name in space.arguments:
            text = _argument_value(profile.arguments, name)
        else:
            text = profile.environment.get(name)
        if text is not None:
            found[name] = _as_value(text, parameter)
    return found


def with_point(profile: Profile, space: ProfileSpace, point: Point) -> Profile:
    """Returns the profile with the settings of a point.

    Raises:
        ConfigError: the profile gives an argument twice, so that changing it would not be clear, or
            the point makes a profile that `serving.yaml` may not hold.
    """
    arguments = list(profile.arguments)
    environment = dict(profile.environment)
    for name, value in point.items():
        if name in space.arguments:
            _set_argument(arguments, name, value)
        else:
            environment[name] = _as_text(value)
    changed = {"arguments": tuple(arguments), "environment": environment}
    return validate(profile.model_dump() | changed, Profile, "tune.yaml")


def changes(before: Profile, after: Profile, space: ProfileSpace) -> dict[str, str]:
    """Returns setting → `old → new`, in words, for every setting that differs."""
    old, new = present(before, space), present(after, space)
    return {
        name: f"{_shown(old, name)} → {_shown(new, name)}"
        for name in space.parameters
        if old.get(name) != new.get(name)
    }


def in_words(changed: Mapping[str, str]) -> str:
    """Returns changes as one phrase."""
    return ", ".join(f"{name} {value}" for name, value in changed.items()) or "nothing"


def _shown(settings: Mapping[str, Value], name: str) -> str:
    value = settings.get(name)
    if isinstance(value, bool):
        return "on" if value else "off"
    return "the engine's own" if value is None else str(value)


def _argument_value(arguments: Sequence[str], name: str) -> str | None:
    place = _find(arguments, name)
    if place is not None:
        if place.joined:
            return arguments[place.start].partition("=")[2]
        return arguments[place.start + 1] if place.words == 2 else "true"
    return "false" if _find(arguments, _negated(name)) is not None else None


def _set_argument(arguments: list[str], name: str, value: Value) -> None:
    place = _find(arguments, name) or _find(arguments, _negated(name))
    start, words = (place.start, place.words) if place else (len(arguments), 0)
    if isinstance(value, bool):
        written = [name if value else _negated(name)]
    elif place is not None and place.joined:
        written = [f"{name}={_as_text(value)}"]
    else:
        written = [name, _as_text(value)]
    arguments[start : start + words] = written


def _find(arguments: Sequence[str], name: str) -> _Place | None:
    found = [n for n, word in enumerate(arguments) if word.partition("=")[0] == name]
    if len(found) > 1:
        raise ConfigError(
            f"serving.yaml: {name} is given {len(found)} times; expected once; leave one"
        )
    if not found:
        return None
    start = found[0]
    if "=" in arguments[start]:
        return _Place(start=start, words=1, joined=True)
    following = arguments[start + 1 : start + 2]
    valued = bool(following) and not following[0].startswith("--")
    return _Place(start=start, words=2 if valued else 1, joined=False)


def _negated(name: str) -> str:
    return f"--no-{name.removeprefix('--')}"


def _as_text(value: Value) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _as_value(text: str, parameter: Parameter) -> Value:
    """Reads a setting as the value of its parameter that is written so, else as what it looks."""
    if isinstance(parameter, Choice):
        for value in parameter.values:
            if text in (_as_text(value), str(value), str(value).lower()):
                return value
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
