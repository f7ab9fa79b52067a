"""What a review export works with: the golden set under DVC, and Label Studio if configured."""

from pathlib import Path

from assay.adapters import labelling_label_studio
from assay.adapters.labelling_label_studio import Pushed
from assay.errors import ConfigError
from assay.ports import GoldenSource
from assay.review.policy import ReviewPolicy
from flows.settings import from_environment
from flows.wiring import golden_source


def wire_golden() -> GoldenSource:
    """Returns the source of golden sets of the folder that the command runs in.

    Raises:
        ConfigError: the trust file is wrong.
    """
    return golden_source(from_environment())


def push(folder: Path, policy: ReviewPolicy) -> Pushed:
    """Pushes an export to the server that the review policy names.

    Raises:
        ConfigError: the policy names none; else as `labelling_label_studio.push`.
        InfrastructureError: as `labelling_label_studio.push`.
    """
    server = policy.label_studio
    if server is None:
        raise ConfigError(
            "the review policy names no `label_studio.url`; name the server there, or load the "
            f"files in {folder} by hand"
        )
    return labelling_label_studio.push(
        folder,
        url=server.url,
        project=server.project,
        labels_per_text=policy.labels_per_text,
    )
