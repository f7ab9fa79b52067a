"""Every error Assay raises on purpose, in one tree.

::

    AssayError
    ├── ConfigError            somebody must edit a file, or name another one
    ├── ArtifactError          the artifact is not what it claims: a rejection, with evidence
    ├── TooFewCasesError       the data cannot answer the question: undecided
    ├── EvaluatorError         our own code cannot answer the question: undecided
    └── InfrastructureError    server, registry, store, engine: hold; may be retried

The class says who has to act, and so what the gate may conclude: none of them is ever a number, a
pass or a fail. A message says where, what was found, what was expected and what to do. Messages
never hold a case's text, a secret or a key.

Each error has a reason code, for those who count refusals by kind: what stands in brackets at the
end of its message (`… [file-digest]`), and the class's own where nothing does.
"""

import re
from typing import ClassVar

_CODE = re.compile(r"\[([a-z]+(?:-[a-z]+)*)\]$")


class AssayError(Exception):
    """The root: everything Assay raises on purpose."""

    kind: ClassVar[str] = "assay"

    @property
    def code(self) -> str:
        """The reason code: stable, where the message's words may change."""
        found = _CODE.search(str(self))
        return found[1] if found else self.kind


class ConfigError(AssayError):
    """A file, flag or setting is wrong, and a person has to change it."""

    kind = "config"


class ArtifactError(AssayError):
    """An artifact is not what it claims to be, and must not be served."""

    kind = "artifact"


class TooFewCasesError(AssayError):
    """The data cannot answer the question asked of it."""

    kind = "too-few-cases"


class EvaluatorError(AssayError):
    """An evaluator could not compute what it exists to compute."""

    kind = "evaluator"


class InfrastructureError(AssayError):
    """A server, registry, store or engine failed: nothing is known about the candidate."""

    kind = "infrastructure"
