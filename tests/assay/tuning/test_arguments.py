import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ConfigError
from assay.serving_profile import ContainerLimits, Profile
from assay.tuning.arguments import changes, present, with_point
from assay.tuning.space import Choice, ProfileSpace, Range

SPACE = ProfileSpace(
    arguments={
        "--max-num-seqs": Choice(values=(8, 16)),
        "--enforce-eager": Choice(values=(True, False)),
        "--share": Range(low=0.5, high=0.9),
    },
    environment={"THREADS": Choice(values=("1", "2"))},
)


def profile(*arguments: str, **environment: str) -> Profile:
    return Profile(
        image="x",
        arguments=arguments,
        environment=environment,
        limits=ContainerLimits(memory_gib=1),
    )


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), {}),
        (("--max-num-seqs", "8"), {"--max-num-seqs": 8}),
        (("--max-num-seqs=16",), {"--max-num-seqs": 16}),
        (("--max-num-seqs", "12"), {"--max-num-seqs": 12}),
        (("--enforce-eager", "--share", "0.7"), {"--enforce-eager": True, "--share": 0.7}),
        (("--no-enforce-eager",), {"--enforce-eager": False}),
    ],
)
def test_the_present_settings_are_read_in_every_way_of_writing(
    arguments: tuple[str, ...], found: dict[str, object]
) -> None:
    assert present(profile(*arguments), SPACE) == found


def test_a_variable_keeps_its_text() -> None:
    assert present(profile(THREADS="1"), SPACE) == {"THREADS": "1"}


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        (("--dtype", "x", "--max-num-seqs", "8", "--z"), 16, ("--dtype", "x", "--max-num-seqs", "16", "--z")),  # noqa: E501
        (("--max-num-seqs=8", "--z"), 16, ("--max-num-seqs=16", "--z")),
        (("--z",), 16, ("--z", "--max-num-seqs", "16")),
    ],
)  # fmt: skip
def test_a_value_changes_where_it_stands(
    before: tuple[str, ...], value: int, after: tuple[str, ...]
) -> None:
    assert with_point(profile(*before), SPACE, {"--max-num-seqs": value}).arguments == after


def test_a_switch_is_turned_where_it_stands() -> None:
    off = with_point(profile("--enforce-eager", "--z"), SPACE, {"--enforce-eager": False})
    assert off.arguments == ("--no-enforce-eager", "--z")
    on = with_point(off, SPACE, {"--enforce-eager": True})
    assert on.arguments == ("--enforce-eager", "--z")


def test_an_argument_given_twice_is_not_guessed_at() -> None:
    with pytest.raises(ConfigError, match="given 2 times"):
        present(profile("--max-num-seqs", "8", "--max-num-seqs=9"), SPACE)


def test_changes_are_said_in_words() -> None:
    before = profile("--max-num-seqs", "8", "--enforce-eager")
    after = with_point(
        before, SPACE, {"--max-num-seqs": 16, "--enforce-eager": False, "THREADS": "2"}
    )
    assert changes(before, after, SPACE) == {
        "--max-num-seqs": "8 → 16",
        "--enforce-eager": "on → off",
        "THREADS": "the engine's own → 2",
    }


POINTS = st.fixed_dictionaries(
    {},
    optional={
        "--max-num-seqs": st.sampled_from([8, 16]),
        "--enforce-eager": st.booleans(),
        "--share": st.floats(0.5, 0.9).map(lambda x: round(x, 4)),
        "THREADS": st.sampled_from(["1", "2"]),
    },
)


@given(POINTS, POINTS)
def test_what_is_set_is_read_back_and_nothing_else_changes(
    first: dict[str, object], then: dict[str, object]
) -> None:
    start = profile("--dtype", "bfloat16", "--disable-x")
    once = with_point(start, SPACE, first)  # type: ignore[arg-type]
    twice = with_point(once, SPACE, then)  # type: ignore[arg-type]
    assert present(twice, SPACE) == {**first, **then}
    assert twice.arguments[:3] == ("--dtype", "bfloat16", "--disable-x")
