"""The load profiles that have names, and how `load:` in `policy.yaml` changes them.

Decides durations and rates that suit a laptop, beside the full ones that a release needs; leaves
what the fields mean to `profile`. A short run cannot show a small error rate, so `quick` asks for
what its requests can show.
"""

from collections.abc import Mapping
from typing import Any

from assay.documents import validate
from assay.errors import ConfigError
from assay.load.profile import LoadProfile

_NAMED: dict[str, dict[str, Any]] = {
    # 400 requests: a p99 takes 299 before it has an upper bound, an error rate of 1 % as many.
    "quick": {
        "arrivals": {"kind": "poisson", "rate_per_s": 10.0},
        "duration_s": 40.0,
        "objectives": {"max_error_rate": 0.01, "min_availability": 0.99},
    },
    # 3,600 requests: an error rate of 0.1 % takes 2,995 without any error.
    "sustained": {"arrivals": {"kind": "poisson", "rate_per_s": 12.0}, "duration_s": 300.0},
    "spike": {
        "arrivals": {"kind": "spike", "rate_per_s": 10.0, "times": 5.0, "share": 0.2},
        "duration_s": 180.0,
    },
    "soak": {"arrivals": {"kind": "poisson", "rate_per_s": 5.0}, "duration_s": 3600.0},
    "ramp": {
        "arrivals": {"kind": "poisson", "rate_per_s": 2.0},
        "duration_s": 40.0,
        "objectives": {"max_error_rate": 0.01, "min_availability": 0.99},
        "search": {},
    },
    "sustained-full": {
        "arrivals": {"kind": "poisson", "rate_per_s": 100.0},
        "duration_s": 3600.0,
        "warm_up_s": 60.0,
    },
    "spike-full": {
        "arrivals": {"kind": "poisson", "rate_per_s": 500.0},
        "duration_s": 300.0,
        "warm_up_s": 30.0,
        "max_in_flight": 8192,
    },
    "soak-full": {
        "arrivals": {"kind": "poisson", "rate_per_s": 50.0},
        "duration_s": 86_400.0,
        "warm_up_s": 60.0,
    },
}

NAMES = tuple(_NAMED)


def named_profile(
    name: str, changes: Mapping[str, Mapping[str, Any]] | None = None, *, where: str = "policy.yaml"
) -> LoadProfile:
    """Returns a profile by name, as the policy's `load:` section changes it.

    Fields given replace the profile's; of `objectives`, `generator` and `search` each entry alone
    (likewise `arrivals` and `prompts`, unless the change names another `kind`). A name that is not
    known is a profile of the policy's own, and must then be complete.

    Args:
        name: which profile.
        changes: profile → its fields, from the policy.
        where: the policy's file, for error messages.

    Raises:
        ConfigError: no such profile, or its fields are wrong; names the field.
    """
    given = dict((changes or {}).get(name, {}))
    if name not in _NAMED and not given:
        known = ", ".join(sorted({*NAMES, *(changes or {})}))
        raise ConfigError(
            f"{where}: no load profile {name!r}; expected one of {known}; choose one, or add it "
            "under load: in the policy"
        )
    fields = _merged({"prompts": {"kind": "golden"}} | _NAMED.get(name, {}), given)
    return validate(fields | {"name": name}, LoadProfile, f"{where}: load.{name}")


def all_profiles(
    changes: Mapping[str, Mapping[str, Any]] | None = None, *, where: str = "policy.yaml"
) -> dict[str, LoadProfile]:
    """Returns every profile, those of the policy's own included; so checks the whole section.

    Raises:
        ConfigError: a field is wrong; names it.
    """
    names = dict.fromkeys((*NAMES, *(changes or {})))
    return {name: named_profile(name, changes, where=where) for name in names}


def _merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in given.items():
        old: Any = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        if both and value.get("kind", old.get("kind")) == old.get("kind"):
            merged[key] = {**old, **value}
        else:
            merged[key] = value
    return merged
