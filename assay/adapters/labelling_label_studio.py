"""Pushes an export's tasks to a Label Studio server, each once.

Decides which project takes them, and that a push that broke off is gone on with instead of begun
again: every task carries the export's id and ours. Nothing of the export's files is changed but
`pushed.json`. The token is read from the environment and is in no message.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.adapters.labelling_exports import CONFIG, MANIFEST, TASKS, as_json
from assay.documents import parse_json, read_text, validate
from assay.errors import ConfigError, InfrastructureError
from assay.relabelling.identities import FIELD
from assay.review.manifest import ReviewManifest

TOKEN = "LABEL_STUDIO_API_KEY"  # noqa: S105 - a variable's name
PUSHED = "pushed.json"
_TIMEOUT_S = 60
_BATCH = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """Where an export's tasks are: `added` now, `present` from an earlier push."""

    url: str
    project: int
    added: int
    present: int


def push(
    folder: Path,
    *,
    url: str,
    project: str | None,
    labels_per_text: int,
    environment: Mapping[str, str] | None = None,
) -> Pushed:
    """Pushes an export.

    Args:
        folder: the export.
        url: of the server.
        project: its title or number; "<task> review" if None. One that is not there is created.
        labels_per_text: answers that a created project asks for on each task.
        environment: where the token is; the process's own if None.

    Raises:
        ConfigError: no token, a wrong one, no client, or a project that asks something else.
        InfrastructureError: the server does not answer, or not as it should.
    """
    env = os.environ if environment is None else environment
    again = f"the files are in {folder}: `assay review push {folder}` goes on"
    if not (token := env.get(TOKEN)):
        raise ConfigError(
            f"{TOKEN}: not set, and {url} wants a token; set it to a token of an account there; "
            f"{again}"
        )
    where = str(folder / MANIFEST)
    manifest = validate(parse_json(read_text(folder / MANIFEST), where), ReviewManifest, where)
    tasks = parse_json(read_text(folder / TASKS), str(folder / TASKS))
    with _explained(url, again):
        client = _client(url, token, again)
        title = project or f"{manifest.task} review"
        number = _project(client, title, manifest, folder, labels_per_text)
        present = _present(client, number, manifest.export_id)
        wanted = [task for task in tasks if _identity(task["data"]) not in present]
        for start in range(0, len(wanted), _BATCH):
            client.projects.import_tasks(id=number, request=wanted[start : start + _BATCH])
    pushed = Pushed(url=url, project=number, added=len(wanted), present=len(tasks) - len(wanted))
    (folder / PUSHED).write_bytes(as_json({"url": url, "project": number, "tasks": len(tasks)}))
    return pushed


def _client(url: str, token: str, again: str) -> Any:
    """Returns the SDK's client; what its generated, half-typed calls return is checked here."""
    try:
        from label_studio_sdk import LabelStudio
    except ImportError:
        raise ConfigError(
            "label-studio-sdk is not installed; install the extra `review` "
            f"(pip install 'assay-gate[review]'); {again}"
        ) from None
    made: Any = LabelStudio
    return made(base_url=url, api_key=token, timeout=_TIMEOUT_S)


@contextmanager
def _explained(url: str, again: str) -> Iterator[None]:
    import httpx

    try:
        from label_studio_sdk.core.api_error import ApiError
    except ImportError:  # said by `_client`
        ApiError = httpx.HTTPStatusError  # type: ignore[assignment,misc]  # noqa: N806
    try:
        yield
    except ApiError as error:
        status = error.status_code
        if status in (401, 403):
            raise ConfigError(
                f"{url} refuses the token of {TOKEN} (HTTP {status}); set one of an account that "
                f"may write to the project; {again}"
            ) from None
        raise InfrastructureError(
            f"{url} answered HTTP {status}, expected the task's project; see the server's log; "
            f"{again}"
        ) from None
    except httpx.HTTPError as error:
        raise InfrastructureError(
            f"{url} does not answer ({type(error).__name__}); see that Label Studio runs there; "
            f"{again}"
        ) from None


def _project(
    client: Any,
    title: str,
    manifest: ReviewManifest,
    folder: Path,
    labels_per_text: int,
) -> int:
    """Returns the number of the project, created if need be, after a look at what it asks."""
    for found in client.projects.list():
        if title not in (found.title, str(found.id)):
            continue
        control = (client.projects.get(id=found.id).parsed_label_config or {}).get(
            manifest.question
        )
        labels = sorted(getattr(control, "labels", None) or (control or {}).get("labels", ()))
        if labels != sorted(manifest.labels):
            raise ConfigError(
                f"Label Studio's project {title!r} asks {manifest.question!r} for "
                f"{', '.join(map(repr, labels)) or 'nothing'}; expected "
                f"{', '.join(map(repr, sorted(manifest.labels)))}; give it the configuration in "
                f"{folder / CONFIG}, or name another project"
            )
        return int(found.id)
    created = client.projects.create(
        title=title,
        label_config=read_text(folder / CONFIG),
        maximum_annotations=labels_per_text,
        show_collab_predictions=True,
        enable_empty_annotation=False,
    )
    return int(created.id)


def _present(client: Any, project: int, export: str) -> set[str]:
    """Ids of this export's tasks that the project has already."""
    rows = (task.data for task in client.tasks.list(project=project, page_size=_BATCH))
    return {
        _identity(data) for data in rows if isinstance(data, dict) and data.get("export") == export
    }


def _identity(data: Mapping[str, Any]) -> str:
    """Our name of a task; exports made before there were names say the id itself."""
    return str(data.get(FIELD) or data.get("case_id") or data.get("request_id"))
