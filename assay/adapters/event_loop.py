"""The event loop that timed work runs on, and an alarm that is punctual.

Decides which loop and which clock; leaves what is done at the time to the caller. The clock is the
kernel's monotonic one throughout, so that setting the machine's date changes nothing.
"""

import asyncio
import ctypes
import gc
import os
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1
_TFD_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC if sys.platform == "linux" else 0


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on a loop of its own, to the end or to the first error."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # There is none for Windows; asyncio's own loop is slower, not wrong.
        return None
    return uvloop.new_event_loop


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Keeps the cycle collector, with its pauses of 5-15 ms, out of what is being timed."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Alarm:
    """Calls `ring` on the running loop at a time of the monotonic clock.

    On Linux by a timerfd that the loop watches: 0.1 ms late as a rule, where the loop's own timers
    count whole milliseconds. Elsewhere by the loop's timers.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None
        self._timer = _TimerFd.create()
        if self._timer is not None:
            self._loop.add_reader(self._timer.descriptor, self._rung)

    def set(self, at_s: float) -> None:
        """Sets the alarm, in place of any earlier time; a time gone by rings at once."""
        if self._timer is not None:
            self._timer.set(at_s)
            return
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_later(max(0.0, at_s - time.monotonic()), self._ring)

    def close(self) -> None:
        """Ends the alarm, set or not."""
        if self._handle is not None:
            self._handle.cancel()
        if self._timer is not None:
            self._loop.remove_reader(self._timer.descriptor)
            self._timer.close()
            self._timer = None

    def _rung(self) -> None:
        if self._timer is not None and self._timer.clear():
            self._ring()


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class _TimerFd:
    """Linux's timerfd on the monotonic clock; the standard library has it from Python 3.13 on."""

    def __init__(self, libc: ctypes.CDLL, descriptor: int) -> None:
        self.descriptor = descriptor
        self._settime = libc.timerfd_settime
        self._setting = _Timer()

    @classmethod
    def create(cls) -> "_TimerFd | None":
        """Returns a timer, or None where the system has none."""
        if sys.platform != "linux":
            return None
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "timerfd_create"):
            return None
        descriptor = int(libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_FLAGS))
        return cls(libc, descriptor) if descriptor >= 0 else None

    def set(self, at_s: float) -> None:
        at_ns = max(1, round(at_s * 1e9))  # 0 would disarm it
        value = self._setting.value
        value.seconds, value.nanoseconds = divmod(at_ns, 1_000_000_000)
        setting = ctypes.byref(self._setting)
        if self._settime(self.descriptor, _TFD_TIMER_ABSTIME, setting, None) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), "timerfd")

    def clear(self) -> bool:
        """Takes note that it rang; False when it was set anew in between."""
        try:
            os.read(self.descriptor, 8)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        os.close(self.descriptor)
