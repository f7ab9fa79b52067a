"""The policy (`policy.yaml`): the thresholds, written down before the run.

Decides what a policy may say in general; what each evaluator's entry may say is that evaluator's
own (its dataclass fields), validated when `evaluators.registry.build` makes it.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from assay import digests
from assay.documents import Document, read_yaml

Backend = Literal["docker", "process", "endpoint", "kubernetes"]


class Policy(Document):
    """The whole of `policy.yaml`."""

    schema_version: Literal[1]
    alpha: float = Field(default=0.05, gt=0.0, lt=0.5)
    first_release: Literal["refuse", "allow"] = "refuse"
    stratum: Literal["core", "hitl"] = "core"
    max_unanswered_rate: float = Field(default=0.001, ge=0.0, lt=0.5)
    replicates: int = Field(default=10_000, ge=999, le=1_000_000)
    backends_that_may_promote: tuple[Backend, ...] = ("docker", "kubernetes")
    evaluators: dict[str, dict[str, Any]] = Field(min_length=1)

    @property
    def digest(self) -> str:
        """Digest of the canonical form; comments and layout do not change it."""
        return digests.of_json(self.model_dump(mode="json"))


def load_policy(path: Path) -> Policy:
    """Reads and validates `policy.yaml`, but for the evaluators' own entries.

    Raises:
        ConfigError: names the file, the field, what was found and what was expected.
    """
    return read_yaml(path, Policy)
