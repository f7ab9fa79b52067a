"""A clean-up ends before the signal that came meanwhile."""

import signal
import threading

import pytest

from assay.uninterrupted import uninterrupted


def cleaning(*, done: list[str], number: int) -> None:
    with uninterrupted():
        signal.raise_signal(number)
        done.append("cleaned")


def test_ctrl_c_comes_through_after_the_clean_up() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        cleaning(done=done, number=signal.SIGINT)
    assert done == ["cleaned"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_with_a_handler_of_python_s_waits_and_comes_once() -> None:
    done: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: done.append("told"))
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            done.append("cleaned")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert done == ["cleaned", "told"]


def test_a_signal_that_nobody_handles_is_left_as_it_is() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with uninterrupted():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_another_thread_changes_no_handler() -> None:
    seen: list[object] = []

    def work() -> None:
        with uninterrupted():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
