"""Whether two engines fit on one machine at the same time.

Decides side by side or in turns from the serving profiles and the memory that is free; leaves
starting engines to the flows. Side by side is the fairer comparison, because both models meet the
same minute; but two engines that squeeze each other out of memory measure neither.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from assay.serving_profile import Profile

GIB = 2**30

DEFAULT_GPU_SHARE = 0.9
"""What vLLM takes of a GPU's memory when it is not told."""

_ROOM_FOR_GPU = 0.98
_WEIGHTS = 1.2
_RUNTIME_GIB = 2.0
"""An idle engine with a tiny model and 1 GiB of cache held 2.27 GiB on a CPU (docs/latency.md)."""

_KV_CACHE = "VLLM_CPU_KVCACHE_SPACE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Whether engines take turns, and the sentence that says why."""

    alternating: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """An engine to be placed: how it is served, and how large its model is."""

    profile: Profile
    model_bytes: int


def place(tenants: Sequence[Tenant], free_memory_bytes: int | None) -> Placement:
    """Decides whether engines run side by side.

    Args:
        tenants: every engine that is wanted.
        free_memory_bytes: main memory that can still be had; None where that is not known, or not
            this machine's to give.
    """
    if len(tenants) < 2:
        return Placement(alternating=False, reason="one engine only")
    if all(tenant.profile.gpus for tenant in tenants):
        shares = [gpu_share(tenant.profile) for tenant in tenants]
        wanted = f"{' + '.join(f'{share:.0%}' for share in shares)} of the GPU memory"
        if sum(shares) > _ROOM_FOR_GPU:
            return Placement(
                alternating=True,
                reason=f"the engines take turns: they want {wanted}; lower "
                "--gpu-memory-utilization in serving.yaml to have both up at once",
            )
        return Placement(alternating=False, reason=f"both engines fit: {wanted}")
    if free_memory_bytes is None:
        return Placement(alternating=False, reason="side by side: free memory is not known")
    needed = sum(memory_bytes(tenant) for tenant in tenants)
    words = f"{needed / GIB:.1f} GiB of {free_memory_bytes / GIB:.1f} GiB free"
    if needed > free_memory_bytes:
        return Placement(alternating=True, reason=f"the engines take turns: they need {words}")
    return Placement(alternating=False, reason=f"both engines fit: {words}")


def memory_bytes(tenant: Tenant) -> int:
    """Returns the main memory that an engine is expected to hold, never above its limit."""
    limit = int(tenant.profile.limits.memory_gib * GIB)
    stated = tenant.profile.environment.get(_KV_CACHE, "")
    if not re.fullmatch(r"\d+(\.\d+)?", stated):
        return limit
    expected = (float(stated) + _RUNTIME_GIB) * GIB + _WEIGHTS * tenant.model_bytes
    return min(limit, int(expected))


def gpu_share(profile: Profile) -> float:
    """Returns the share of a GPU's memory that an engine takes."""
    flag = "--gpu-memory-utilization"
    for index, argument in enumerate(profile.arguments):
        name, _, value = argument.replace("_", "-").partition("=")
        if name == flag:
            following = profile.arguments[index + 1 : index + 2]
            text = argument.partition("=")[2] if value else "".join(following)
            try:
                return float(text)
            except ValueError:
                return DEFAULT_GPU_SHARE
    return DEFAULT_GPU_SHARE
