"""Prometheus' own programs, where this machine has them."""

import shutil

import pytest

PROMTOOL = shutil.which("promtool")
PROMETHEUS = shutil.which("prometheus")
_INSTALL = "apt-get install prometheus"
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason=f"no promtool here: {_INSTALL}")
needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason=f"no prometheus here: {_INSTALL}")
