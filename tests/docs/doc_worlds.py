"""Folders in which the documentation's commands do what they say, and what stands for what there.

A page says RUN, EVIDENCE or MY.key; a world knows which run, folder and key these are in it.
"""

import contextlib
import json
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from assay.adapters.store_fsspec import FsspecStore
from assay.cli import main
from assay.evidence import APPROVALS
from flows.conclude import GateResult
from tests.cli_desk import make_desk
from tests.docs.doc_commands import ROOT, Shown
from tests.docs.doc_servers import channels_world, people_world, served_world
from tests.gate_rig import MODEL, make_rig

COMPOSE = "services:\n  vllm:\n    image: vllm/vllm-openai:v0.6.6\n    ports: ['8000:8000']\n"


@dataclass(slots=True)
class Worlds:
    """One folder for each kind of command, made once."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    promoted: Path = Path()
    blocked: Path = Path()
    fresh: int = 0
    stands_for: dict[str, str] = field(default_factory=dict)

    def place(self, name: str) -> Path:
        """The working folder of a world."""
        if name in ("fresh", "import"):
            self.fresh += 1
            path = self.folder / f"fresh-{self.fresh}"
            shutil.copytree(ROOT / "examples/intents", path)
            (path / "keys").mkdir()
            return path
        return self.promoted if name == "evidence" else self.folder / name

    def words(self, command: Shown) -> list[str]:
        """The command's words (without `assay`), with what stands for what replaced."""
        words = list(command.words[1:])
        run = self.blocked if words[0] == "override" else self.promoted
        known = self.stands_for | {"RUN": run.name}
        if words[0] in ("approve", "override"):  # a person signs once, and pages show it often
            shutil.rmtree(run / APPROVALS, ignore_errors=True)
        for number, word in enumerate(words):
            if words[number - 1] == "--findings":
                words[number] = ",".join(unsettled(self.blocked))
            elif "reports/RUN" in word or (words[0], word) == ("verify", "FOLDER"):
                words[number] = str(run)
            else:
                words[number] = known.get(word, word)
        return words


def unsettled(folder: Path) -> list[str]:
    """Returns the metrics of a verdict's gating findings that did not pass."""
    findings = json.loads((folder / "verdict.json").read_bytes())["findings"]
    wanted = (f["metric"] for f in findings if f["gating"] and f["status"] != "passed")
    return list(dict.fromkeys(wanted))


def make_worlds(folder: Path, running: ExitStack) -> Worlds:
    """Makes the folders: a finished gate, files to judge, projects; starts who answers there."""
    worlds = Worlds(folder)
    results = _gate_world(folder / "gate")
    worlds.promoted, worlds.blocked = (result.evidence_dir for result in results)
    _intents_world(folder / "intents")
    _project_world(folder / "project")
    people_world(folder / "people", folder / "remote")
    served = served_world(folder / "served", running)
    worlds.environment = channels_world(folder / "channels", running)
    (folder / "desk").mkdir()
    make_desk(folder / "desk")
    worlds.stands_for = served | {
        "EVIDENCE": str(worlds.promoted), "MODEL_DIR": f".assay/store/{MODEL}/1.1.0",
        "FOLDER": "models/1.1.0",
        "emotion-demo": MODEL, "gate.pub": "keys/gate.pub", "signing-key.pem": "release.key",
        "MY.key": "ada.key", "WHY": "an outage of production",
        ".assay/demo/trust.yaml": "trust.yaml", "NEW.yaml": "policy.yaml",
        "G": "golden.jsonl", "P1.jsonl": "candidate.jsonl", "P2.jsonl": "production.jsonl",
        "rows.csv": "source.csv", "intents.csv": "source.csv", "m.yaml": "mapping.yaml",
    }  # fmt: skip
    return worlds


def _gate_world(folder: Path) -> tuple[GateResult, GateResult]:
    folder.mkdir()
    rig = make_rig(folder)
    store = FsspecStore(str(folder / "home/store"), rig.keys.trusted)
    models = {**{version: version for version in rig.answers}, "1.4.0": "1.1.0"}
    for version, made in models.items():
        model = folder / "models" / made
        store.publish(model, model=MODEL, version=version, private_key=rig.keys.private)
    rig.store = store  # type: ignore[assignment]
    rig.gate("1.0.0")
    promoted, blocked = rig.gate("1.1.0"), rig.gate("1.2.0")
    (folder / ".assay").symlink_to(folder / "home")
    for name, key in {"release": rig.keys.private, **rig.people}.items():
        (folder / f"{name.lower()}.key").symlink_to(key)
    for name in ("compose.yaml", "deployment.yaml"):
        (folder / name).write_text(COMPOSE)
    return promoted, blocked


def _intents_world(folder: Path) -> None:
    shutil.copytree(ROOT / "examples/intents", folder)
    with contextlib.chdir(folder):
        words = ["golden", "import", "source.csv", "--mapping", "mapping.yaml"]
        assert main([*words, "--out", "golden.jsonl"]) == 0


def _project_world(folder: Path) -> None:
    folder.mkdir()
    for name in ("golden_data", "task.yaml", "policy.yaml", "serving.yaml"):
        (folder / name).symlink_to(ROOT / name)
    rows = (ROOT / "golden_data/golden.jsonl").read_text(encoding="utf-8").splitlines()[::3]
    for name in ("sample.jsonl", "last_week.jsonl"):
        kept = ({key: json.loads(row)[key] for key in ("text", "label", "lang")} for row in rows)
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in kept))
