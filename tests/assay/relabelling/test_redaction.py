"""What is masked before a text is stored, and what is not."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assay.relabelling.redaction import redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to an.nguyen+x@mail.example.com now", "write to [EMAIL] now"),
        ("call +44 20 7946 0958 please", "call [PHONE] please"),
        ("số của tôi là 0912 345 678 nhé", "số của tôi là [PHONE] nhé"),
        ("gọi 0912.345.678", "gọi [PHONE]"),
        ("gọi (028) 3829 5000", "gọi [PHONE]"),
        ("card 4111 1111 1111 1111 ok", "card [CARD] ok"),
        ("to GB82 WEST 1234 5698 7654 32 today", "to [IBAN] today"),
        ("from 192.168.10.254 again", "from [IP] again"),
        ("from 2001:db8::8a2e:370:7334 again", "from [IP] again"),
        ("see https://example.org/a?b=c for it", "see [URL] for it"),
        ("see www.example.org/me", "see [URL]"),
        ("thanks @aunt_mai you", "thanks [HANDLE] you"),
        ("cccd 001099012345 đây", "cccd [ID] đây"),
        ("key AKIAIOSFODNN7EXAMPLE leaked", "key [SECRET] leaked"),
        ("my password: hunter2hunter", "my [SECRET]"),
        ("use sk-abcdefghijklmnopqrstuvwx", "use [SECRET]"),
    ],
)
def test_these_are_masked(text: str, expected: str) -> None:
    assert redact(text).text == expected


@pytest.mark.parametrize(
    "text",
    [
        "order 4111 1111 1111 1112 is late",
        "to GB82 WEST 1234 5698 7654 33 today",
        "version 999.1.2.3 at 10:30:00",
        "I waited 45 minutes and 2026 was long",
        "it cost 1.234.567 đồng",
        "meet me at 5 :: maybe @ six",
        "std::vector is fun",
        "my password is a secret",
    ],
)
def test_these_stay(text: str) -> None:
    assert redact(text).text == text


def test_the_share_that_is_lost_is_told() -> None:
    found = redact("+84 912 345 678")
    assert found.text == "[PHONE]"
    assert found.masked_share("+84 912 345 678") == 1.0


@example("@_0@_0")
@example("token: @ab")
@example("@" + 30 * "a" + "0912345678")
@given(st.text(alphabet=st.sampled_from("ab01259 .:-+@/[]()\nsk_httpw=đ"), max_size=120))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    once = redact(text).text
    assert redact(once).text == once


def test_no_text_makes_a_pattern_slow() -> None:
    chain = "@" + 30 * "a" + "0912345678"  # each end of one is the beginning of another
    for piece in ("a.", "1 ", "0", "@a", "@ab", "1:", "AB12 ", "eyJ", "+1(", "http://", chain):
        text = piece * (4000 // len(piece))
        began = time.process_time()
        redact(text)
        assert time.process_time() - began < 1.0, piece
