"""A notice as words: by the package's templates, or by those that a team puts in their place.

Decides which template is used and what it may do: Jinja2 in its sandbox, with the notice's fields
and nothing else, so that a template cannot reach the machine it is rendered on.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from assay.errors import ConfigError
from assay.notifications.notice import Notice

PACKAGED = Path(__file__).parents[1] / "templates"
TITLE, TEXT, SLACK = "notice_title.txt.j2", "notice_text.txt.j2", "notice_slack.txt.j2"
_LONGEST = 8000
_LONGEST_TITLE = 200


def render_title(notice: Notice, templates: Path | None = None) -> str:
    """Returns the title: one line.

    Raises:
        ConfigError: a team's own template cannot be rendered.
    """
    return " ".join(_render(TITLE, notice, templates).split())[:_LONGEST_TITLE]


def render_text(notice: Notice, templates: Path | None = None) -> str:
    """Returns the text of a mail.

    Raises:
        ConfigError: a team's own template cannot be rendered.
    """
    return _render(TEXT, notice, templates)[:_LONGEST]


def render_slack(notice: Notice, templates: Path | None = None) -> str:
    """Returns the text of a Slack message; what fields hold cannot become Slack's own marks.

    Raises:
        ConfigError: a team's own template cannot be rendered.
    """
    return _render(SLACK, notice, templates, finalize=_escaped)[:_LONGEST]


def _render(
    name: str,
    notice: Notice,
    templates: Path | None,
    finalize: Callable[[Any], Any] | None = None,
) -> str:
    folders = [PACKAGED] if templates is None else [templates, PACKAGED]
    environment = ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    try:
        return environment.get_template(name).render(notice.to_json()).strip()
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        where = "" if templates is None else f"{templates}/"
        line = getattr(error, "lineno", None)
        place = f"{where}{name}" if line is None else f"{where}{name}:{line}"
        raise ConfigError(
            f"{place}: cannot be rendered ({type(error).__name__}: {str(error)[:200]}); expected "
            "Jinja2 that uses a notice's fields alone; correct the template"
        ) from error


def _escaped(value: Any) -> Any:
    """Escapes what Slack would take for a mark: `<!channel>` in a reason must call nobody."""
    if not isinstance(value, str):
        return value
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
