"""`assay loadtest`: a load on one running server, and whether it met the objectives.

Decides flags and what is printed; the test itself is `assay.load_testing.run_load_test`, which can
be called without it. Exit codes: 0 objectives met, 10 missed, 11 too few requests to tell, 12 a run
that does not count. Ctrl-C prints what there is, marked as partial: that can be a miss, never a
pass.
"""

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import typer

from assay.cli.output import print_json, results_only, say
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.load.arrivals import Seconds
    from assay.load.profile import LoadProfile
    from assay.load_testing import Sink
    from assay.ports import Question
    from assay.records import Endpoint

REPORT_FILE = "load_report.json"


def loadtest(
    base_url: Annotated[
        str | None, typer.Option(help="The server: http(s)://HOST[:PORT], without /v1.")
    ] = None,
    uds: Annotated[Path | None, typer.Option(help="The server's unix socket instead.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The model's name. Default: the one the server has.")
    ] = None,
    profile: Annotated[
        str, typer.Option(help="quick, sustained, spike, soak, ramp, …-full, or the policy's own.")
    ] = "quick",
    rate: Annotated[float | None, typer.Option(help="Requests a second.")] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds, after the warm-up.")] = None,
    warm_up: Annotated[float | None, typer.Option(help="Seconds that are thrown away.")] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="A closed loop of so many requests, in place of a rate.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of arrivals and the order of prompts.")] = None,
    prompts: Annotated[
        Literal["golden", "lengths"] | None, typer.Option(help="Golden cases, or drawn nonsense.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Changes profiles under load:. Default: policy.yaml.")
    ] = None,
    task: Annotated[Path, typer.Option(help="How golden cases are asked.")] = Path("task.yaml"),
    golden: Annotated[
        str | None, typer.Option(help="Git revision or file. Default: the working tree's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report and every timed request.")
    ] = None,
    samples: Annotated[
        Literal["jsonl", "parquet"], typer.Option(help="Form of the timed requests in --out.")
    ] = "jsonl",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Loads a running server on a schedule, and holds it against the objectives.

    Example: assay loadtest --base-url http://127.0.0.1:8000 --profile sustained --out load/
    """
    from assay.adapters.load_aiohttp import AiohttpLoad
    from assay.cli.load_view import LiveView, print_report
    from assay.load_testing import LoadTest, run_load_test

    flags = {
        "rate": rate, "duration": duration, "warm_up": warm_up, "concurrency": concurrency,
        "seed": seed, "prompts": prompts,
    }  # fmt: skip
    chosen = choose_profile(profile, policy, {k: v for k, v in flags.items() if v is not None})
    with results_only():
        endpoint = find_endpoint(base_url, uds, model)
        questions = _questions(chosen, task, golden)
    with LiveView() as view, _requests_file(out, samples) as sink:
        test = LoadTest(
            generator=AiohttpLoad(),
            endpoint=endpoint,
            questions=questions,
            run_id=f"load-{secrets.token_hex(4)}",
            trace=_trace(chosen),
            began=view.began,
            sink=sink,
        )
        report = run_load_test(chosen, test)
    if out is not None:
        _write(out / REPORT_FILE, report.model_dump_json(indent=2))
        say(f"report: {out / REPORT_FILE}")
    if as_json:
        print_json(report.as_json())
    else:
        print_report(report)
    raise typer.Exit(report.verdict.outcome.exit_code)


def choose_profile(name: str, policy: Path | None, flags: dict[str, Any]) -> "LoadProfile":
    """Returns a profile by name, as the policy and then the flags change it.

    Raises:
        ConfigError: no such profile, or a value that makes no load; says which.
    """
    from pydantic import ValidationError

    from assay.documents import describe
    from assay.load.named_profiles import named_profile
    from assay.load.profile import LoadProfile
    from assay.policy import load_policy

    default = Path("policy.yaml")
    if policy is None and default.is_file():
        policy = default
    changes = load_policy(policy).load if policy is not None else {}
    found = named_profile(name, changes, where=str(policy or "assay"))
    if not flags:
        return found
    try:
        return LoadProfile.model_validate(_changed(found, flags))
    except ValidationError as error:
        given = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in flags.items())
        raise ConfigError(f"{given}: {describe(error)}; correct the flag") from None


def _changed(profile: "LoadProfile", flags: dict[str, Any]) -> dict[str, Any]:
    fields = profile.model_dump()
    if "concurrency" in flags:
        if "rate" in flags:
            raise ConfigError(
                f"--rate {flags['rate']} and --concurrency {flags['concurrency']}: an open loop or "
                "a closed one; expected one of the two; leave the other out"
            )
        fields["arrivals"] = {"kind": "closed", "concurrency": flags["concurrency"]}
        fields["search"] = None
    if "rate" in flags:
        if "rate_per_s" not in fields["arrivals"]:
            raise ConfigError(
                f"--rate {flags['rate']}: profile {profile.name!r} has arrivals of kind "
                f"{profile.arrivals.kind!r}, which have no single rate; choose another profile"
            )
        fields["arrivals"]["rate_per_s"] = flags["rate"]
        if fields["search"] is not None:
            fields["search"]["start_per_s"] = flags["rate"]
    for flag, field in (("duration", "duration_s"), ("warm_up", "warm_up_s"), ("seed", "seed")):
        if flag in flags:
            fields[field] = flags[flag]
    if "prompts" in flags and flags["prompts"] != fields["prompts"]["kind"]:
        fields["prompts"] = {"kind": flags["prompts"]}
    return fields


def find_endpoint(base_url: str | None, uds: Path | None, model: str | None) -> "Endpoint":
    """Returns where the model answers; its name is the server's own where none is given.

    Raises:
        ConfigError: no address, or none that can be one; or the server has several models.
        InfrastructureError: the server does not say which models it has.
    """
    from dataclasses import replace

    from assay.adapters.server_readiness import served_models

    endpoint = replace(_address(base_url, uds), model=model or "")
    if model is not None:
        return endpoint
    names = served_models(endpoint)
    if len(names) != 1:
        raise ConfigError(
            f"{uds or base_url}: serves {', '.join(map(repr, names)) or 'no model'}; expected "
            "one; name it with --model"
        )
    return replace(endpoint, model=names[0])


def _address(base_url: str | None, uds: Path | None) -> "Endpoint":
    from assay.records import Endpoint

    key = os.environ.get("ASSAY_API_KEY")
    if (base_url is None) == (uds is None):
        raise ConfigError("expected one of --base-url and --uds: where the server is; give one")
    if uds is not None:
        if not uds.is_socket():
            raise ConfigError(f"--uds {uds}: is no unix socket; start the server, or correct it")
        return Endpoint(base_url="http://localhost", model="", uds=uds, api_key=key)
    parts = urlsplit(str(base_url))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ConfigError(
            "--base-url: is no server's address; expected http(s)://HOST[:PORT], without user name "
            "or password (a key is given as ASSAY_API_KEY)"
        )
    return Endpoint(base_url=str(base_url).rstrip("/").removesuffix("/v1"), model="", api_key=key)


def _questions(profile: "LoadProfile", task: Path, golden: str | None) -> "Sequence[Question]":
    from assay.load.profile import LengthPrompts
    from assay.load_testing import load_questions

    if isinstance(profile.prompts, LengthPrompts):
        return load_questions(profile, None, ())
    from assay.adapters.golden_dvc import DvcGoldenSource
    from assay.task import load_task

    asked = load_task(task)
    cases = DvcGoldenSource(Path.cwd()).load(golden, asked.labels).cases
    return load_questions(profile, asked, cases)


def _trace(profile: "LoadProfile") -> "Seconds | None":
    """Reads the recorded arrivals of a profile that replays them: seconds, one a line."""
    import numpy as np

    from assay.documents import read_text
    from assay.load.profile import Replay

    if not isinstance(profile.arrivals, Replay):
        return None
    path = Path(profile.arrivals.trace)
    times = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            times.append(float(line))
        except ValueError:
            raise ConfigError(
                f"{path}:{number}: {line[:40]!r} is no number; expected seconds, one a line; "
                "correct the trace"
            ) from None
    return np.asarray(times, dtype=np.float64)


@contextmanager
def _requests_file(out: Path | None, form: str) -> "Iterator[Sink]":
    from assay.adapters.load_files import open_requests

    if out is None:
        yield lambda request: None
        return
    if (out / REPORT_FILE).exists():
        raise ConfigError(f"--out {out}: holds a report already; name another folder")
    with open_requests(out / f"requests.{form}") as file:
        yield file


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")
