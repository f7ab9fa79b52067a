"""What a proposed policy would have said of every gate on record, without a server.

Decides which evidence can be judged again and how the outcomes compare; the judgement itself is
`flows.rejudge`. A run that was refused or could not be measured has no answers to judge, and says
nothing about a policy.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from assay import evidence
from assay.documents import parse_json, read_text
from assay.records import Role, Verdict, VerdictKind
from assay.verdict_document import verdict_from_json
from flows.rejudge import evidence_files, judge_files


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtested:
    """One recorded gate under the proposed policy; `proposed` is None where it has no answers."""

    run_id: str
    candidate: str
    recorded: VerdictKind
    proposed: VerdictKind | None
    sentence: str

    @property
    def changed(self) -> bool:
        """Whether the proposed policy would have decided otherwise."""
        return self.proposed is not None and self.proposed is not self.recorded


def evidence_folders(root: Path) -> list[Path]:
    """Returns the finished evidence folders directly under `root`, in the order of names."""
    return sorted(path.parent for path in root.glob(f"*/{evidence.SUMS}"))


def backtest(folders: Iterable[Path], policy: Path) -> list[Backtested]:
    """Judges recorded answers under a proposed policy.

    Args:
        folders: evidence folders.
        policy: the proposed policy.

    Raises:
        ConfigError: the policy is wrong, or a folder is no evidence.
        ArtifactError: evidence was altered after it was sealed.
    """
    return [_backtested(folder, policy) for folder in folders]


def _backtested(folder: Path, policy: Path) -> Backtested:
    evidence.check_seal(folder)
    path = folder / "verdict.json"
    recorded = verdict_from_json(parse_json(read_text(path), str(path)), str(path))
    ref = recorded.context.candidate
    name = f"{ref.model} {ref.version}" if ref else "a candidate without a name"
    if not (folder / Role.CANDIDATE.value / "predictions.jsonl").is_file():
        proposed, text = None, "was never asked, so no policy changes it"
    else:
        files = replace(evidence_files(folder), policy=policy)
        judged = judge_files(files, recorded.only).verdict
        proposed, text = judged.verdict, _compared(recorded, judged)
    return Backtested(
        run_id=recorded.context.run_id,
        candidate=name,
        recorded=recorded.verdict,
        proposed=proposed,
        sentence=f"{recorded.context.run_id}: {name}: {recorded.verdict.value}, {text}",
    )


def _compared(recorded: Verdict, judged: Verdict) -> str:
    if judged.verdict is recorded.verdict:
        return "and under the proposed policy the same"
    return f"but under the proposed policy {judged.verdict.value}: {judged.summary}"
