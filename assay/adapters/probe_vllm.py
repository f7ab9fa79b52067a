"""Looks at a running vLLM from the outside: `/metrics`, its processes, the accelerators.

Decides how one look is taken, over TCP or a unix socket; leaves when to look to `engine_watch` and
what the figures mean to `engine_health`. A look must cost the load next to nothing: one keep-alive
connection, a short timeout, and only the wanted lines parsed.
"""

from contextlib import suppress
from typing import Any

import httpx2

from assay.adapters.gpu_nvml import Gpus
from assay.adapters.metrics_text import read_metrics
from assay.ports import RunningServer
from assay.records import EngineSample

_TIMEOUT_S = 2.0


class VllmProbes:
    """The port `EngineProbes`, for vLLM."""

    def open(self, server: RunningServer) -> "VllmProbe":
        """Returns a probe of a running server; nothing is asked yet."""
        return VllmProbe(server)


class VllmProbe:
    """The port `EngineProbe`: one vLLM."""

    def __init__(self, server: RunningServer) -> None:
        endpoint = server.endpoint
        socket = None if endpoint.uds is None else str(endpoint.uds)
        self._usage = server.usage
        self._gpus = Gpus(server.gpus)
        self._http = httpx2.Client(
            base_url=endpoint.base_url,
            transport=httpx2.HTTPTransport(uds=socket),
            timeout=_TIMEOUT_S,
            trust_env=False,
            # vLLM leaves /metrics open; a gateway before somebody else's server may not.
            headers={"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {},
        )

    def sample(self, at_s: float, session: int) -> EngineSample:
        """Returns the engine's figures of this moment; see `assay.ports.EngineProbe.sample`."""
        figures, error_kind = self._metrics()
        usage = self._usage()
        return EngineSample(
            at_s=at_s,
            session=session,
            cpu_s=None if usage is None else usage.cpu_s,
            memory_bytes=None if usage is None else usage.memory_bytes,
            gpus=self._gpus.sample(),
            error_kind=error_kind,
            **figures,
        )

    def close(self) -> None:
        """Closes the connection."""
        with suppress(httpx2.HTTPError):
            self._http.close()
        self._gpus.close()

    def _metrics(self) -> tuple[dict[str, Any], str | None]:
        """Returns what `/metrics` says, or why it says nothing."""
        try:
            response = self._http.get("/metrics")
        except httpx2.TimeoutException:
            return {}, "timeout"
        except httpx2.HTTPError:
            return {}, "connection"
        if response.status_code != 200:
            return {}, f"http_{response.status_code}"
        try:
            found = read_metrics(response.text)
        except (ValueError, KeyError):
            return {}, "garbage"
        return found, None if found else "no_figures"
