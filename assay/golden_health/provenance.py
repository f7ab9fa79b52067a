"""Whether somebody vouches for the set: what became of its signed manifest.

Decides what a missing or refused manifest means for the health of a set; whether a manifest is
believed is `assay.golden_manifest`'s.
"""

from dataclasses import dataclass

from assay.golden_health.health import Check, unknown
from assay.golden_manifest import GoldenPredicate
from assay.records import FindingStatus

NAME = "provenance/manifest"
_STOP = "Let it judge nothing until that is mended."
_PUBLISH = "Publish it with `assay golden publish`, which signs one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What is known about who published a set.

    Attributes:
        stated: what a trusted key stated; None where there is no manifest, or none is believed.
        fault: why the set may not judge: its manifest is refused, or required and missing.
    """

    stated: GoldenPredicate | None = None
    fault: str | None = None


def manifest_check(known: Provenance | None) -> Check:
    """Returns the check; undecided where nobody vouches for the set and nobody has to.

    Args:
        known: what is known; None where nobody looked.
    """
    if known is None:
        return unknown(NAME, "Who published the set was not looked at.", "")
    if known.fault is not None:
        return Check(name=NAME, status=FindingStatus.FAILED, says=f"{known.fault}.", action=_STOP)
    stated = known.stated
    if stated is None:
        says = "The set has no signed manifest, so nobody vouches for its bytes."
        return unknown(NAME, says, _PUBLISH)
    return Check(
        name=NAME,
        status=FindingStatus.PASSED,
        says=f"{stated.who} published version {stated.frozen.version} on "
        f"{stated.signed_at:%Y-%m-%d}; a trusted key signed that, and the data is what it names.",
    )
