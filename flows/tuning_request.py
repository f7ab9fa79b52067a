"""What a search is asked to do, the documents it is done by, and the adapters it works with.

Decides that a request is complete and its documents agree with each other before anything is pulled
or started, and what determines a study.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from assay import digests
from assay.artifact import check_model_name, check_version
from assay.errors import ConfigError
from assay.load.named_profiles import named_profile
from assay.load.profile import LoadProfile
from assay.policy import load_policy
from assay.ports import ArtifactStore, GoldenSource, ModelServer, Registry
from assay.records import ArtifactRef, GoldenCase
from assay.serving_profile import Profile, load_serving
from assay.task import Task, load_task
from assay.tuning import arguments
from assay.tuning.ports import Optimiser, Ramp, TuningLog
from assay.tuning.space import Parameter, ProfileSpace, TuningPlan, load_plan

TuneBackend = Literal["docker", "process"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneRequest:
    """One search, as asked for. The names are those of the command line's flags.

    `version` None is the one in production; `trials` None is the budget of the space's document.
    """

    model: str
    version: str | None = None
    space: Path = Path("tune.yaml")
    policy: Path = Path("policy.yaml")
    task: Path = Path("task.yaml")
    serving: Path = Path("serving.yaml")
    profile: Literal["cpu", "gpu"] = "cpu"
    backend: TuneBackend | None = None
    golden: str | None = None
    trials: int | None = None
    apply: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The validated documents of a request; `serving_text` is the file as it was read."""

    document: TuningPlan
    space: ProfileSpace
    trials: int
    task: Task
    profile: Profile
    load: LoadProfile
    serving_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TunePorts:
    """The adapters one search works with; `flows.tuning_wiring` picks them.

    `optimiser` takes the study's journal, the space and the seed; `ramp` takes the documents, the
    golden cases and the study's id.
    """

    store: ArtifactStore
    server: ModelServer
    backend: str
    registry: Registry
    golden: GoldenSource
    log: TuningLog
    optimiser: Callable[[Path, Mapping[str, Parameter], int], Optimiser]
    ramp: Callable[[Plan, Sequence[GoldenCase], str], Ramp]
    devices: Callable[[Profile], Sequence[str]]


def load_tune_documents(request: TuneRequest) -> Plan:
    """Reads the request's documents and checks them against each other.

    Raises:
        ConfigError: a document is wrong, the budget is empty, the load has no search, or the
            serving file gives an argument of the space twice.
    """
    check_model_name(request.model)
    if request.version is not None:
        check_version(request.version)
    document = load_plan(request.space)
    trials = document.trials if request.trials is None else request.trials
    if trials < 2:
        raise ConfigError(
            f"--trials {trials}: expected 2 at least, the settings as they are and others to "
            "compare with them; give a larger budget"
        )
    text = request.serving.read_bytes().decode() if request.serving.exists() else ""
    profile = load_serving(request.serving).profile(request.profile)
    space = document.space(request.profile, where=str(request.space))
    arguments.present(profile, space)
    policy = load_policy(request.policy)
    load = named_profile(document.load, policy.load, where=str(request.policy))
    if load.search is None:
        raise ConfigError(
            f"{request.space}: the load profile {document.load!r} has no search, so it finds no "
            "highest rate; expected one like `ramp`; name that, or give it search: in the policy"
        )
    return Plan(
        document=document,
        space=space,
        trials=trials,
        task=load_task(request.task),
        profile=profile,
        load=load,
        serving_text=text,
    )


def study_id(
    request: TuneRequest, plan: Plan, ref: ArtifactRef, golden_digest: str, backend: str
) -> str:
    """Returns the name of the study: the digest of what determines its trials, cut short.

    The budget does not: raising it goes on with the same study.
    """
    determining = {
        "artifact": ref.digest,
        "golden": golden_digest,
        "task": plan.task.digest,
        "plan": plan.document.digest,
        "profile": request.profile,
        "settings": plan.profile.settings,
        "load": plan.load.model_dump(mode="json"),
        "backend": backend,
    }
    return digests.of_json(determining).removeprefix("sha256:")[:16]
