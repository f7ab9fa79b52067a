"""What an export says about itself: counts and reasons, never a text."""

from collections.abc import Mapping

from flows.reviewing import ReviewResult


def in_a_sentence(result: ReviewResult) -> str:
    """Returns what was exported, in one sentence."""
    manifest = result.manifest
    if result.folder is None:
        return (
            f"Nothing is left to ask about ({_counts(manifest.left_out) or 'nothing was drawn'})."
        )
    pushed = f", pushed to project {result.pushed.project}" if result.pushed else ""
    return f"{manifest.texts} texts for people ({_counts(manifest.selected)}){pushed}."


def as_markdown(result: ReviewResult) -> str:
    """Returns what was exported and why, as a page."""
    manifest = result.manifest
    lines = [f"# {in_a_sentence(result)}", ""]
    if manifest.work_orders:
        lines += ["| work order | needed | precision | asked | queued |", "|---|---|---|---|---|"]
        lines += [
            f"| `{order.label}` | {order.needed} | "
            f"{'unknown' if order.precision is None else f'{order.precision:.2f}'} | "
            f"{order.asked} | {order.queued} |"
            for order in manifest.work_orders
        ]
        lines.append("")
    for title, counts in (
        ("Offered", manifest.offered),
        ("Signals", manifest.signals),
        ("Left out", manifest.left_out),
    ):
        if counts:
            lines.append(f"- {title}: {_counts(counts)}.")
    if manifest.rejected:
        lines.append(f"- Lines rejected: {manifest.rejected}; see `rejected.jsonl`.")
    return "\n".join([*lines, *(f"- {note}" for note in manifest.notes), ""])


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
