"""From settings to the adapters of a search."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from assay.load_testing import load_questions
from assay.ports import LoadGenerator
from assay.records import GoldenCase
from assay.serving_profile import Profile, load_serving
from assay.tuning.ports import Optimiser, Ramp
from assay.tuning.space import Parameter
from flows.settings import Settings
from flows.tuning_ramp import LoadRamp
from flows.tuning_request import Plan, TuneBackend, TunePorts, TuneRequest
from flows.wiring import golden_source, server_for, store_for


def wire_tuning(request: TuneRequest, settings: Settings) -> TunePorts:
    """Returns the adapters of one search.

    Raises:
        ConfigError: the back end or the trust file is not usable; says how to mend it.
    """
    from assay.adapters.load_aiohttp import AiohttpLoad
    from assay.adapters.registry_mlflow import MlflowRegistry
    from assay.adapters.tuning_mlflow import MlflowTuningLog

    backend = request.backend or _default_backend(request)
    return TunePorts(
        store=store_for(settings),
        server=server_for(backend),
        backend=backend,
        registry=MlflowRegistry(settings.tracking_uri, settings.locks),
        golden=golden_source(settings),
        log=MlflowTuningLog(settings.tracking_uri),
        optimiser=optuna_study,
        ramp=ramp_by(AiohttpLoad()),
        devices=lambda profile: _devices(profile),
    )


def optuna_study(journal: Path, parameters: Mapping[str, Parameter], seed: int) -> Optimiser:
    """Opens, or makes, a study on Optuna."""
    from assay.adapters.optimiser_optuna import OptunaOptimiser

    return OptunaOptimiser(journal, parameters, seed)


class RampMaker:
    """Makes the ramp of a study: a load generator with the study's load and questions."""

    def __init__(self, generator: LoadGenerator) -> None:
        self._generator = generator

    def __call__(self, plan: Plan, cases: Sequence[GoldenCase], study: str) -> Ramp:
        """Returns the ramp."""
        return LoadRamp(
            generator=self._generator,
            profile=plan.load,
            questions=load_questions(plan.load, plan.task, cases),
            run_id=f"tune-{study}",
        )


def ramp_by(generator: LoadGenerator) -> RampMaker:
    """Returns what makes ramps with a generator."""
    return RampMaker(generator)


def _devices(profile: Profile) -> Sequence[str]:
    from assay.adapters import server_hardware

    return server_hardware.devices(profile.gpus)


def _default_backend(request: TuneRequest) -> TuneBackend:
    from assay.adapters.server_docker import engine_holds

    image = load_serving(request.serving).profile(request.profile).image
    return "docker" if engine_holds(image) else "process"
