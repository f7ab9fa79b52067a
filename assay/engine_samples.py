"""Engine files: what one engine said of itself during a load, one moment a line.

Decides how a moment is stored and read back; leaves asking the engine to the probes and what the
figures mean to `engine_health`. What an engine did not say is left out of its line, never a zero.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from assay.documents import Document, read_jsonl
from assay.records import EngineSample, GpuSample

Figure = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Size = Annotated[int, Field(strict=True, ge=0, le=2**53 - 1)]


class GpuRow(Document):
    """One accelerator within a line of an engine file."""

    index: Size
    busy_share: Share | None = None
    memory_bytes: Size | None = None
    memory_total_bytes: Size | None = None
    power_w: Figure | None = None


class EngineRow(Document):
    """One line of an engine file, as it enters."""

    at_s: Figure
    session: Size = 0
    running: Figure | None = None
    waiting: Figure | None = None
    kv_cache_share: Figure | None = None
    preemptions: Figure | None = None
    prefix_hits: Figure | None = None
    prefix_queries: Figure | None = None
    prompt_tokens: Figure | None = None
    generation_tokens: Figure | None = None
    ttft_count: Figure | None = None
    ttft_sum_s: Figure | None = None
    ttft_buckets: tuple[tuple[Figure, Figure], ...] = ()
    cpu_s: Figure | None = None
    memory_bytes: Size | None = None
    gpus: tuple[GpuRow, ...] = ()
    error_kind: Annotated[str, Field(pattern="^[a-z0-9_]{1,40}$")] | None = None


def engine_row(sample: EngineSample) -> dict[str, Any]:
    """Returns a sample as a JSON object; what was not said is left out."""
    row = {name: getattr(sample, name) for name in sample.__slots__}
    row["ttft_buckets"] = [list(bucket) for bucket in sample.ttft_buckets]
    row["gpus"] = [
        {name: value for name in gpu.__slots__ if (value := getattr(gpu, name)) is not None}
        for gpu in sample.gpus
    ]
    return {name: value for name, value in row.items() if value is not None and value != []}


def read_engine_samples(path: Path) -> tuple[EngineSample, ...]:
    """Reads an engine file, in the file's order.

    Raises:
        ConfigError: the file cannot be read or a line is not an engine sample.
    """
    return tuple(_record(row) for _, row in read_jsonl(path, EngineRow))


def _record(row: EngineRow) -> EngineSample:
    values = row.model_dump()
    values["gpus"] = tuple(GpuSample(**gpu) for gpu in values["gpus"])
    return EngineSample(**values)
