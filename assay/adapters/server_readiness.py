"""Whether an engine is ready: healthy, of an accepted version, and answering one known case.

Decides readiness from the outside, over HTTP alone, the same way for every back end; leaves
noticing that an engine has died to whoever started it.
"""

import secrets
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx2
from packaging.version import InvalidVersion, Version

from assay.errors import ArtifactError, InfrastructureError
from assay.records import Endpoint

_PROBE_TIMEOUT_S = 5.0
_QUOTED = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessQuestion:
    """What an engine must answer before it is asked anything else."""

    messages: Sequence[Mapping[str, str]]
    timeout_s: float
    request_id: str
    max_tokens: int = 8


def is_healthy(endpoint: Endpoint) -> bool:
    """Whether `/health` answers 200 right now; any trouble is "not yet"."""
    if not _may_connect(endpoint):
        return False
    try:
        with _http(endpoint, _PROBE_TIMEOUT_S) as http:
            return http.get("/health").status_code == 200
    except httpx2.HTTPError:
        return False


def engine_version(endpoint: Endpoint, *, minimum: str) -> str:
    """Returns the engine's version.

    Raises:
        InfrastructureError: the engine does not say, or is older than `minimum`.
    """
    try:
        with _http(endpoint, _PROBE_TIMEOUT_S) as http:
            response = http.get("/version")
            found = response.raise_for_status().json()["version"]
            version = Version(found)
    except (httpx2.HTTPError, ValueError, KeyError, TypeError, InvalidVersion) as error:
        raise InfrastructureError(
            f"{_name(endpoint)}/version: no version to be read ({type(error).__name__}); expected "
            f"vLLM {minimum} or later; serve with vLLM"
        ) from error
    if version < Version(minimum):
        raise InfrastructureError(
            f"{_name(endpoint)}/version: found vLLM {found!r}, expected {minimum} or later "
            "(earlier ones have known holes); update the image or environment named in serving.yaml"
        )
    return str(found)


def served_models(endpoint: Endpoint) -> tuple[str, ...]:
    """Returns the names of the models that a server offers.

    Raises:
        InfrastructureError: the server does not say, or wants another key.
    """
    try:
        with _http(endpoint, _PROBE_TIMEOUT_S) as http:
            headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
            response = http.get("/v1/models", headers=headers)
            return tuple(str(model["id"]) for model in response.raise_for_status().json()["data"])
    except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
        raise InfrastructureError(
            f"{_name(endpoint)}/v1/models: no list of models to be read ({_quote(str(error))}); "
            "expected one; see that the server is vLLM and that its key is in the environment"
        ) from error


def ask_once(endpoint: Endpoint, question: ReadinessQuestion) -> str:
    """Asks the readiness question with the `openai` client; returns the engine's words.

    Raises:
        ArtifactError: HTTP 400, the engine cannot put the question to this model.
        InfrastructureError: no answer, an error, or something that is no chat completion.
    """
    import openai
    from openai.types.chat import ChatCompletion

    where = f"{_name(endpoint)}/v1/chat/completions: the readiness question {question.request_id}"
    client = openai.OpenAI(
        base_url=f"{endpoint.base_url}/v1",
        api_key=endpoint.api_key or "none",
        max_retries=0,
        http_client=_http(endpoint, question.timeout_s),
    )
    try:
        with client:
            answer = client.chat.completions.create(
                model=endpoint.model,
                messages=list(question.messages),  # type: ignore[arg-type]
                max_tokens=question.max_tokens,
                temperature=0,
                extra_headers={"X-Request-Id": question.request_id},
            )
    except openai.BadRequestError as error:
        raise ArtifactError(
            f"{where} was refused (HTTP 400: {_quote(error.message)}); expected an answer; the "
            "model's chat template or context length does not fit the task"
        ) from error
    except (openai.OpenAIError, ValueError) as error:
        raise InfrastructureError(
            f"{where} failed ({type(error).__name__}: {_quote(str(error))}); expected an answer "
            f"within {question.timeout_s:.0f} s; see the engine's log"
        ) from error
    if not isinstance(answer, ChatCompletion) or not getattr(answer, "choices", None):
        raise InfrastructureError(
            f"{where} got {_quote(repr(answer))}, expected a chat completion; what listens there "
            "does not speak the OpenAI protocol"
        )
    words = answer.choices[0].message.content
    if not isinstance(words, str):
        raise InfrastructureError(
            f"{where} got no words (content {words!r}), expected a text; see the engine's log"
        )
    return words


def _may_connect(endpoint: Endpoint) -> bool:
    """Whether the socket's path is a socket: a container could have put a link there instead."""
    if endpoint.uds is None:
        return True
    try:
        return stat.S_ISSOCK(endpoint.uds.lstat().st_mode)
    except OSError:
        return False


def _http(endpoint: Endpoint, timeout_s: float) -> httpx2.Client:
    transport = httpx2.HTTPTransport(uds=None if endpoint.uds is None else str(endpoint.uds))
    return httpx2.Client(
        base_url=endpoint.base_url, transport=transport, timeout=timeout_s, trust_env=False
    )


def _name(endpoint: Endpoint) -> str:
    return endpoint.base_url if endpoint.uds is None else f"unix:{endpoint.uds}:"


def _quote(words: str) -> str:
    return words if len(words) <= _QUOTED else words[:_QUOTED] + "…"


def request_id(run_id: str, role: str) -> str:
    """Returns the id of a readiness question, by which an engine's log names it; never the same."""
    return f"{run_id}-{role}-readiness-{secrets.token_hex(4)}"
