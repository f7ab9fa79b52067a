"""What a gate is asked to do, and the documents it is done by.

Decides that a request is complete and its documents agree with each other, before anything is
pulled or started.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from assay.artifact import check_model_name, check_version
from assay.errors import ConfigError
from assay.load.named_profiles import all_profiles
from assay.open_loop import steady_profile
from assay.policy import ChangeClass, Policy, load_policy
from assay.serving_profile import Profile, Serving, load_serving
from assay.task import Task, load_task
from evaluators import registry
from evaluators.base import Evaluator
from evaluators.latency import Latency

DOCUMENTS = ("policy", "task", "serving")
BackendName = Literal["docker", "process", "endpoint", "kubernetes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRequest:
    """One gate, as asked for. The names are those of the command line's flags.

    `golden` is a Git revision or the path of a golden file; None is the working tree's. `backend`
    None picks docker where an engine answers and holds the image, and a process otherwise.
    `production_serving` is a second serving file, for production alone: then the verdict is about
    the settings (`flows.settings_change`).
    """

    model: str
    version: str
    policy: Path = Path("policy.yaml")
    task: Path = Path("task.yaml")
    serving: Path = Path("serving.yaml")
    profile: Literal["cpu", "gpu"] = "cpu"
    backend: BackendName | None = None
    candidate_url: str | None = None
    production_url: str | None = None
    golden: str | None = None
    report_dir: Path | None = None
    change: ChangeClass = "standard"
    production_serving: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The validated documents of a request.

    `texts` holds their bytes as they were judged by, for the evidence: a file may change meanwhile.
    """

    policy: Policy
    task: Task
    serving: Serving
    profile: Profile
    evaluators: tuple[Evaluator, ...]
    texts: Mapping[str, bytes]
    production_profile: Profile | None = None

    def wants(self, evaluator: str) -> bool:
        """Whether the policy names an evaluator."""
        return any(one.name == evaluator for one in self.evaluators)


def check_request(request: GateRequest) -> None:
    """Refuses a request that contradicts itself or could not be finished.

    Raises:
        ConfigError: a name that no store has, URLs without the back end that needs them or the
            other way round, or a report folder that already holds something.
    """
    check_model_name(request.model)
    check_version(request.version)
    if request.backend == "endpoint" and request.candidate_url is None:
        raise ConfigError(
            "--backend endpoint: no --candidate-url; give the URL of the server that runs the "
            "candidate"
        )
    if request.backend != "endpoint" and (request.candidate_url or request.production_url):
        raise ConfigError(
            f"--candidate-url and --production-url need --backend endpoint, found "
            f"{request.backend or 'no --backend'}; add it, or leave the URLs out"
        )
    if request.backend == "endpoint" and request.production_serving is not None:
        raise ConfigError(
            f"--production-serving {request.production_serving}: with --backend endpoint no engine "
            "is started, so no settings can be given to it; leave it out"
        )
    folder = request.report_dir
    if folder is not None and folder.exists() and not (folder.is_dir() and _is_empty(folder)):
        raise ConfigError(
            f"--report-dir {folder}: holds something already; expected a new or an empty folder, "
            "because the evidence is sealed with everything beside it; name another"
        )


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


def load_documents(request: GateRequest) -> Documents:
    """Reads the request's documents and checks them against each other.

    Raises:
        ConfigError: a document is wrong, or the request contradicts itself.
    """
    check_request(request)
    policy, task = load_policy(request.policy), load_task(request.task)
    serving = load_serving(request.serving)
    texts = {name: getattr(request, name).read_bytes() for name in DOCUMENTS}
    production_profile = None
    if request.production_serving is not None:
        production_profile = load_serving(request.production_serving).profile(request.profile)
        texts["production_serving"] = request.production_serving.read_bytes()
    evaluators = tuple(registry.build(policy, task, where=str(request.policy)))
    all_profiles(policy.load, where=str(request.policy))  # its mistakes are named before a start
    for evaluator in evaluators:
        if isinstance(evaluator, Latency) and evaluator.arrivals:
            steady_profile(evaluator.arrivals, policy.load)
    return Documents(
        policy=policy,
        task=task,
        serving=serving,
        profile=serving.profile(request.profile),
        evaluators=evaluators,
        texts=texts,
        production_profile=production_profile,
    )
