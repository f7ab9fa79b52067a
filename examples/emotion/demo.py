"""The demonstration: real models, a real trusted store, real vLLM, and one table at the end.

    make demo        (or: .venv/bin/python examples/emotion/demo.py --backend process)

Runs in the gate's environment. Builds what is missing (golden set, models, keys, store), makes
1.0.0 production, then gates every later version in order, and last the engine settings of
`serving-slow.yaml` with the version that is then in production. A second run does again only what
has changed: a verdict whose inputs are the same is read back from MLflow, not computed anew.
Everything it makes lies in .assay/demo; removing that folder starts over.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from assay.adapters.signer_model_signing import generate_keypair
from assay.cli.output import TimedProgress, terminable
from assay.errors import AssayError
from assay.ports import Progress
from assay.records import FindingStatus
from flows.conclude import GateResult
from flows.conduct import conduct
from flows.gate_key import make_gate_key
from flows.request import BackendName, GateRequest
from flows.settings import Settings
from flows.steps import PlainSteps
from flows.summary import one_line
from flows.wiring import default_backend, store_for, wire

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
MODEL = "emotion-demo"
RECORDED = HERE / "recorded" / "1.2.0"
BASELINE, TAMPERED = "1.0.0", "1.3.0"
VERSIONS = (BASELINE, "1.1.0", "1.2.0", TAMPERED)
SETTLED, SLOW_SERVING = "1.1.0", HERE / "serving-slow.yaml"
MLFLOW_PORT = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One thing to gate: a version, or other engine settings for the one in production.

    `verdict` is what it is meant to show, `by` the beginning of the metric that must decide it.
    """

    name: str
    version: str
    verdict: str
    by: str = ""
    serving: Path | None = None


DEMONSTRATED = (
    Candidate(name="1.1.0", version="1.1.0", verdict="promote"),
    Candidate(name="1.2.0", version="1.2.0", verdict="block", by="emotion_f1/"),
    Candidate(name="1.3.0", version="1.3.0", verdict="block", by="artifact/"),
    Candidate(
        name="1.1.0, worse engine settings",
        version=SETTLED,
        verdict="block",
        by="latency/",
        serving=SLOW_SERVING,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one candidate, for the table; `failed` are the metrics that decided."""

    candidate: Candidate
    verdict: str
    reason: str
    report: Path | None
    failed: tuple[str, ...] = ()

    @property
    def as_meant(self) -> bool:
        """Whether the verdict is the one to show, for the reason it is to be shown for."""
        meant = self.candidate
        decided = not meant.by or any(metric.startswith(meant.by) for metric in self.failed)
        return self.verdict == meant.verdict and decided


def main() -> int:
    """Runs the demonstration; returns 0 when every verdict is the one it is meant to show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, default=ROOT / ".assay" / "demo")
    parser.add_argument("--backend", choices=("docker", "process"), default=None)
    arguments = parser.parse_args()
    settings = demo_settings(arguments.home.absolute())
    progress = TimedProgress()
    with terminable():
        prepare(settings, progress)
        backend = arguments.backend or default_backend(request_for(BASELINE, None))
        progress(f"the engine runs as: {backend}")
        if not has_production(settings, backend):
            first = Candidate(name=BASELINE, version=BASELINE, verdict="promote")
            gate(first, settings, backend, progress)
        outcomes = [gate(one, settings, backend, progress) for one in DEMONSTRATED]
    show(outcomes, settings, progress)
    wrong = [one.candidate.name for one in outcomes if not one.as_meant]
    if wrong:
        print(f"demo: unexpected verdict for {', '.join(wrong)}; see the reports", file=sys.stderr)
    return 1 if wrong else 0


def demo_settings(home: Path) -> Settings:
    """Returns the settings of a demonstration that keeps everything in `home`."""
    return Settings(
        home=home,
        store=str(home / "store"),
        trust=home / "keys" / "trust.yaml",
        tracking_uri=f"sqlite:///{home / 'mlflow.db'}",
        who="demo",
    )


def prepare(settings: Settings, progress: Progress) -> None:
    """Makes the golden set, the models, the keys and the store, where they are missing."""
    settings.home.mkdir(parents=True, exist_ok=True)
    progress(f"to read meanwhile: {_explain(RECORDED)}")
    progress("golden set: dvc repro")
    run([sys.executable, "-m", "dvc", "repro", "--quiet"])
    progress("demonstration models: train, quantise (minutes the first time)")
    models = settings.home / "models"
    run([".venv-serving/bin/python", "examples/emotion/build.py", "--out", str(models)])
    progress("no training text may be in the golden set: overlap check")
    run([sys.executable, "examples/emotion/overlap.py", "--rows", str(models / ".build")])
    publish_all(settings, models, progress)


def publish_all(settings: Settings, models: Path, progress: Progress) -> None:
    """Signs and publishes every version, then changes a byte of the one that shows tampering."""
    keys = settings.trust.parent
    private, public = keys / "signing-key.pem", keys / "trusted.pub.pem"
    if not private.exists():
        keys.mkdir(parents=True, exist_ok=True)
        generate_keypair(private, public)
        settings.trust.write_text(
            "schema_version: 1\nkeys:\n  - name: demo\n    public_key: trusted.pub.pem\n",
            encoding="utf-8",
        )
    if settings.signing_key is None:
        make_gate_key(settings)
    store = store_for(settings)
    tampered = Path(settings.store) / MODEL / TAMPERED
    for version in VERSIONS:
        if version == TAMPERED and tampered.exists():
            continue  # published, and changed since: publishing it again is rightly refused
        ref = store.publish(models / version, model=MODEL, version=version, private_key=private)
        progress(f"published {MODEL} {version} {ref.digest[:19]}…")
        if version == TAMPERED:
            run([sys.executable, "examples/emotion/tamper.py", str(tampered)])
            progress(f"changed one byte of {MODEL} {version} after it was signed")


def request_for(
    version: str, backend: BackendName | None, serving: Path | None = None
) -> GateRequest:
    """Returns the request to gate one version, or engine settings against the project's own."""
    return GateRequest(
        model=MODEL,
        version=version,
        policy=HERE / "policy.yaml",
        task=ROOT / "task.yaml",
        serving=serving or ROOT / "serving.yaml",
        production_serving=None if serving is None else ROOT / "serving.yaml",
        backend=backend,
    )


def has_production(settings: Settings, backend: BackendName) -> bool:
    """Whether an earlier run has made a version production."""
    registry = wire(request_for(BASELINE, backend), settings).registry
    return registry.production(MODEL) is not None


def gate(
    candidate: Candidate, settings: Settings, backend: BackendName, progress: Progress
) -> Outcome:
    """Gates one candidate."""
    progress(f"── gate {MODEL} {candidate.name} ──")
    request = request_for(candidate.version, backend, candidate.serving)
    started = time.monotonic()
    try:
        result: GateResult = conduct(
            request,
            settings=settings,
            ports=wire(request, settings),
            steps=PlainSteps(progress),
            progress=progress,
        )
    except AssayError as error:
        return Outcome(candidate=candidate, verdict="error", reason=str(error), report=None)
    verdict, seconds = result.verdict, time.monotonic() - started
    progress(f"{candidate.name}: {verdict.verdict.value} after {seconds:.0f} s: {one_line(result)}")
    failed = (f for f in verdict.findings if f.gating and f.status is FindingStatus.FAILED)
    outcome = Outcome(
        candidate=candidate,
        verdict=verdict.verdict.value,
        reason=one_line(result),
        report=result.evidence_dir / "report.html",
        failed=tuple(finding.metric for finding in failed),
    )
    if outcome.failed:
        progress(f"{candidate.name}: why, in another terminal: {_explain(result.evidence_dir)}")
    return outcome


def _explain(evidence: Path) -> str:
    return f".venv/bin/assay explain {shlex.quote(str(_shown(evidence)))}"


def show(outcomes: list[Outcome], settings: Settings, progress: Progress) -> None:
    """Prints the table, the reports and the commands that explain, prove and compare them."""
    progress("done")
    console = Console(width=min(120, shutil.get_terminal_size((120, 40)).columns))
    table = Table(title=f"{MODEL}: what the gate said", show_lines=True)
    for name in ("candidate", "verdict", "why"):
        table.add_column(name, overflow="fold")
    colours = {"promote": "green", "block": "red"}
    for one in outcomes:
        colour = colours.get(one.verdict, "yellow")
        table.add_row(one.candidate.name, f"[bold {colour}]{one.verdict}[/]", escape(one.reason))
    console.print(table)
    for one in outcomes:
        if one.report is not None:
            print(f"report {one.candidate.name}: {_shown(one.report)}")
    explained = next((o.report for o in outcomes if o.failed and o.report is not None), None)
    if explained is not None:
        evidence = explained.parent
        folder, trust = (shlex.quote(str(_shown(path))) for path in (evidence, settings.trust))
        print(f"why it was blocked: {_explain(evidence)}")
        print(f"prove that: .venv/bin/assay verify {folder} --trust {trust}")
    uri = f"sqlite:///{_shown(settings.home / 'mlflow.db')}"
    print(
        "compare in MLflow's UI: .venv/bin/mlflow server --workers 1 --port "
        f"{MLFLOW_PORT} --backend-store-uri {shlex.quote(uri)}"
    )


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def run(command: list[str]) -> None:
    """Runs a step of the preparation from the project's root; its own output goes to stderr."""
    # DVC's stages say `python` and mean this environment's.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = os.environ | {"PATH": path}
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr, env=environment)


if __name__ == "__main__":
    sys.exit(main())
