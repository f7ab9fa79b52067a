"""Logs as JSON, one object a line, for machines that read them.

Decides the fields of a line and which loggers speak; leaves the format itself to
python-json-logger. A line holds `time` (UTC), `level`, `logger`, `message`, the gate's `run_id` and
`step` while one runs, and what the caller adds (`request_id` …). As everywhere, no case's text and
no key.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from assay.errors import ConfigError

LogFormat = Literal["text", "json"]
LEVELS = ("debug", "info", "warning", "error")
OURS = ("assay", "evaluators", "flows")
_HANDLER = "assay-json"


class RunFields(logging.Filter):
    """Adds the gate that runs in this process, and its step, to every line.

    A gate's lines come from several threads, so this is the process's: it runs one gate at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.run_id: str | None = None
        self.steps: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        """Adds the fields that the line has not got itself; keeps every line."""
        if self.run_id is not None and not hasattr(record, "run_id"):
            record.run_id = self.run_id
        if self.steps and not hasattr(record, "step"):
            record.step = self.steps[-1]
        return True


FIELDS = RunFields()
"""What this process is at."""


def configure(form: LogFormat, *, level: str = "info") -> None:
    """Lets this process log as JSON to stderr, or no longer.

    Args:
        form: `text` leaves logging as it is.
        level: from which our own lines are shown; those of libraries are from `warning` on.

    Raises:
        ConfigError: there is no such level.
    """
    root = logging.getLogger()
    for handler in [one for one in root.handlers if one.get_name() == _HANDLER]:
        root.removeHandler(handler)
        logging.captureWarnings(False)
    if form == "text":
        return
    if level.lower() not in LEVELS:
        raise ConfigError(
            f"ASSAY_LOG_LEVEL: found {level!r}, expected one of {', '.join(LEVELS)}; correct it"
        )
    # MLflow would give its loggers a handler of their own, and that one writes plain text.
    os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
    root.addHandler(_handler())
    logging.captureWarnings(True)
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())


def is_on() -> bool:
    """Says whether this process logs as JSON."""
    return any(one.get_name() == _HANDLER for one in logging.getLogger().handlers)


class LoggedLines:
    """A stream whose lines become lines of the log: what libraries print is JSON, too."""

    encoding = "utf-8"

    def __init__(self, logger: logging.Logger) -> None:
        self._logger, self._begun = logger, ""

    def write(self, text: str) -> int:
        """Logs each whole line; keeps what follows the last line end."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line.strip():
                self._logger.info(line.rstrip())
        return len(text)

    def flush(self) -> None:
        """Logs nothing: a line is logged when it is whole."""

    def isatty(self) -> bool:
        """Says that nobody watches."""
        return False


def _handler() -> "logging.StreamHandler[TextIO]":
    from pythonjsonlogger.json import JsonFormatter

    class Lines(JsonFormatter):
        def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
            log_data["level"] = str(log_data["level"]).lower()
            return log_data

        def formatTime(  # noqa: N802 - the library's name
            self, record: logging.LogRecord, datefmt: str | None = None
        ) -> str:
            moment = datetime.fromtimestamp(record.created, UTC)
            return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    handler: logging.StreamHandler[TextIO] = logging.StreamHandler(sys.stderr)
    handler.set_name(_HANDLER)
    handler.addFilter(FIELDS)
    handler.setFormatter(
        Lines(
            "{asctime}{levelname}{name}{message}",
            style="{",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            json_serializer=json.dumps,
            json_ensure_ascii=False,
        )
    )
    return handler
