"""From settings to the adapters of a publication."""

from pathlib import Path

from assay.ports import Progress
from flows.golden_publishing import PublishPorts
from flows.request import GateRequest
from flows.rescoring import Rescoring
from flows.settings import Settings
from flows.steps import Steps
from flows.wiring import wire


def wire_publication(
    settings: Settings,
    *,
    root: Path,
    key: Path | None,
    gate: GateRequest | None,
    steps: Steps,
    progress: Progress,
) -> PublishPorts:
    """Returns the adapters of one publication.

    Args:
        settings: where things are.
        root: the repository's root.
        key: the curator's key; the gate's own if None.
        gate: the model whose production is scored afterwards, and how it is served; None: none.
        steps: how steps are run.
        progress: receives sentences for people.

    Raises:
        ConfigError: the back end or the trust file is not usable; says how to mend it.
    """
    from assay.adapters.golden_dvc import DvcGoldenSource
    from assay.adapters.golden_log_mlflow import MlflowGoldenLog
    from assay.adapters.golden_repository import GoldenRepository
    from assay.adapters.validator_gx import GxValidator

    rescore = None
    if gate is not None:
        rescore = Rescoring(
            request=gate,
            settings=settings,
            ports=wire(gate, settings),
            steps=steps,
            progress=progress,
        )
    return PublishPorts(
        repository=GoldenRepository(root),
        source=DvcGoldenSource(root),
        validator=GxValidator(),
        log=MlflowGoldenLog(settings.tracking_uri),
        key=key or settings.signing_key,
        who=settings.who,
        rescore=rescore,
    )
