"""Whether two engines fit side by side, from the profile and the free memory."""

import pytest

from assay.placement import GIB, Tenant, gpu_share, memory_bytes, place
from assay.serving_profile import ContainerLimits, Profile


def profile(*arguments: str, gpus: int = 0, memory_gib: float = 6, **environment: str) -> Profile:
    return Profile(
        image="i", arguments=arguments, gpus=gpus, environment=environment,
        limits=ContainerLimits(memory_gib=memory_gib),
    )  # fmt: skip


SMALL = Tenant(profile=profile(VLLM_CPU_KVCACHE_SPACE="1"), model_bytes=GIB // 2)


def test_one_engine_needs_no_place_beside_it() -> None:
    assert not place([SMALL], 1).alternating
    assert not place([], 1).alternating


def test_engines_take_turns_where_memory_is_short_and_it_says_how_much() -> None:
    needed = 2 * memory_bytes(SMALL)
    assert memory_bytes(SMALL) == int(3.6 * GIB)
    assert not place([SMALL, SMALL], needed).alternating
    short = place([SMALL, SMALL], needed - 1)
    assert short.alternating
    assert "they need 7.2 GiB of 7.2 GiB free" in short.reason
    assert not place([SMALL, SMALL], None).alternating


def test_an_engine_never_holds_more_than_its_limit_and_an_unknown_one_all_of_it() -> None:
    huge = Tenant(profile=profile(VLLM_CPU_KVCACHE_SPACE="40"), model_bytes=0)
    unknown = Tenant(profile=profile(), model_bytes=0)
    assert memory_bytes(huge) == memory_bytes(unknown) == 6 * GIB


@pytest.mark.parametrize(
    ("arguments", "share"),
    [
        ((), 0.9),
        (("--gpu-memory-utilization", "0.45"), 0.45),
        (("--gpu-memory-utilization=0.4",), 0.4),
        (("--gpu_memory_utilization", "0.3"), 0.3),
        (("--gpu-memory-utilization",), 0.9),
        (("--gpu-memory-utilization", "much"), 0.9),
    ],
)
def test_the_share_of_a_gpu_is_read_as_vllm_reads_it(arguments, share) -> None:
    assert gpu_share(profile(*arguments, gpus=1)) == share


def test_engines_that_want_most_of_a_gpu_take_turns_whatever_memory_is_free() -> None:
    greedy = Tenant(profile=profile(gpus=1), model_bytes=GIB)
    modest = Tenant(profile=profile("--gpu-memory-utilization", "0.45", gpus=1), model_bytes=GIB)
    assert place([greedy, greedy], 10**15).alternating
    assert "90% + 90% of the GPU memory" in place([greedy, greedy], None).reason
    assert not place([modest, modest], 0).alternating
