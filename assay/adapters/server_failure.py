"""Why an engine is not serving: the artifact's fault, or nothing known about the artifact.

Decides between `ArtifactError` (the engine read the artifact and refused it) and
`InfrastructureError` (all else), from how the engine ended and what it last said. Doubt is always
infrastructure: an error is never a fail.
"""

import re
from dataclasses import dataclass

from assay.errors import ArtifactError, AssayError, InfrastructureError

TAIL_LINES = 25
_LONGEST_LINE = 300

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PREFIX = re.compile(r"^\([A-Za-z0-9_-]+ pid=\d+\)\s*(?:(?:INFO|ERROR|WARNING) \S+ \S+ \[\S+\])? ?")
_RAISED = re.compile(r"^(?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit)\b.*")

_READS_THE_ARTIFACT = (
    re.compile(r"/vllm/model_executor/model_loader/\S+ line \d+, in (?!__init__)"),
    re.compile(r'/vllm/\S+", line \d+, in load_weights'),
    re.compile(r"/vllm/transformers_utils/(?:config|repo_utils)\.py"),
    re.compile(r"in create_model_config"),
)
"""Frames of a traceback in which vLLM 0.32 reads weights or configuration of the model folder."""

_LACKS_SOMETHING = re.compile(
    r"out of memory|OutOfMemory|MemoryError|Cannot allocate memory|No space left"
    r"|Insufficient space|No available memory|Permission denied|Read-only file system"
    r"|User-specified max_model_len|Too many open files",
    re.IGNORECASE,
)
"""Words of a failure that another machine or setting would mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an engine ended: its exit status (128 + n for signal n), and whether memory ran out."""

    exit_status: int
    out_of_memory: bool = False


def tail(log: str) -> str:
    """Returns the last lines of a log, without colours, each of a bearable length."""
    lines = [_ESCAPES.sub("", line).rstrip() for line in log.splitlines()]
    return "\n".join(line[:_LONGEST_LINE] for line in lines[-TAIL_LINES:])


def root_cause(log: str) -> str | None:
    """Returns the first exception that a log reports, which the later ones only pass on."""
    return next(iter(_exceptions(log)), None)


def _exceptions(log: str) -> list[str]:
    """Returns each exception that a log reports; pydantic gives its reason a line later."""
    lines = [_PREFIX.sub("", _ESCAPES.sub("", line)).strip() for line in log.splitlines()]
    return [
        " ".join(lines[number : number + (2 if "validation error" in line else 1)])[:_LONGEST_LINE]
        for number, line in enumerate(lines)
        if _RAISED.match(line)
    ]


def explain(ending: Ending, log: str, *, where: str, memory: str) -> AssayError:
    """Returns the error to raise for an engine that ended before it was ready.

    Args:
        ending: how it ended.
        log: all that is known of what it said.
        where: which server, for the message.
        memory: the setting that limits its memory, for the message.
    """
    words = f"its last words:\n{tail(log)}"
    if ending.out_of_memory:
        return InfrastructureError(
            f"{where}: the engine was killed because its memory ran out; raise {memory} or use a "
            f"smaller model; {words}"
        )
    if ending.exit_status in (137, 143):
        return InfrastructureError(
            f"{where}: the engine was killed (exit status {ending.exit_status}) before it was "
            f"ready, by someone or for want of memory; free memory and gate again; {words}"
        )
    if ending.exit_status == 124:
        return InfrastructureError(
            f"{where}: the engine reached its lifetime before it was ready; raise lifetime_s in "
            f"serving.yaml; {words}"
        )
    cause = root_cause(log)
    summary = f"exit status {ending.exit_status}, {cause or 'no exception in its log'}"
    if _blames_the_artifact(log):
        return ArtifactError(
            f"{where}: the engine refuses the model while loading it ({summary}); expected a model "
            f"that the engine loads; repair it and publish a new version; {words}"
        )
    return InfrastructureError(
        f"{where}: the engine ended before it was ready ({summary}); expected it to serve; what it "
        f"lacks is in its own words; {words}"
    )


def _blames_the_artifact(log: str) -> bool:
    if any(_LACKS_SOMETHING.search(exception) for exception in _exceptions(log)):
        return False
    return any(frame.search(log) for frame in _READS_THE_ARTIFACT)
