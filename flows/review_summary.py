"""What an export says about itself: counts and reasons, never a text."""

from collections.abc import Mapping

from assay.review.manifest import OrderRow
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
        columns = ("work order", "needed", "precision", "asked", "queued", "random texts needed")
        lines += [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        lines += [*map(_order_line, manifest.work_orders), ""]
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


def _order_line(order: OrderRow) -> str:
    what = " in ".join(f"`{part}`" for part in (order.label, order.slice) if part) or "any class"
    # A precision is of a class; of a slice there is none to know.
    known = "unknown" if order.label else "–"
    precision = known if order.precision is None else f"{order.precision:.2f}"
    chance = "unknown" if order.random_needed is None else order.random_needed
    return f"| {what} | {order.needed} | {precision} | {order.asked} | {order.queued} | {chance} |"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
