"""A verdict as JUnit XML, so that every CI system shows each check where it shows tests.

::

    gating finding passed                 → a test that passed
    gating finding failed                 → <failure>
    gating finding undecided, a problem   → <error>     neither passed nor failed
    advisory finding not passed           → <skipped>   it never decides

Decides how findings become test cases. A verdict other than promote never makes a suite in which
everything passed: where no check says so, a case of its own does.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from xml.etree import ElementTree as Xml

from assay.records import Finding, FindingStatus, Problem, RunContext, Verdict, VerdictKind

_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped (section 2.2)."""
_COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def junit_bytes(verdict: Verdict, *, not_promoted: str | None = None) -> bytes:
    """Returns the bytes of a JUnit XML file with one test case for each finding.

    Args:
        verdict: what is told.
        not_promoted: why a promote did not move production, where it did not: an error.
    """
    context = verdict.context
    cases = [_of_finding(finding) for finding in verdict.findings]
    cases += [_of_problem(problem) for problem in context.problems]
    if not_promoted is not None:
        cases.append(_case("assay.promotion", "production", "error", "not promoted", not_promoted))
    if verdict.verdict is not VerdictKind.PROMOTE and not _alarming(cases):
        kind, tag = verdict.verdict, "error"
        if kind is VerdictKind.BLOCK:
            tag = "failure"
        cases.append(_case("assay.verdict", "verdict", tag, kind.value, verdict.summary))
    suite = Xml.Element("testsuite", _suite(verdict, cases))
    suite.append(_properties(verdict))
    suite.extend(cases)
    Xml.SubElement(suite, "system-out").text = _plain(
        "\n".join([verdict.summary, *verdict.next_steps])
    )
    root = Xml.Element("testsuites")
    root.append(suite)
    Xml.indent(root)
    document: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _suite(verdict: Verdict, cases: list[Xml.Element]) -> dict[str, str]:
    context = verdict.context
    attributes = {"name": f"assay {_about(context)}".strip(), "tests": str(len(cases))}
    for name, tag in _COUNTED.items():
        attributes[name] = str(len(list(_with(cases, tag))))
    if context.started_at is not None and context.finished_at is not None:
        begun, ended = map(datetime.fromisoformat, (context.started_at, context.finished_at))
        attributes["timestamp"] = begun.isoformat(timespec="seconds")
        attributes["time"] = f"{(ended - begun).total_seconds():.3f}"
    return {name: _plain(value) for name, value in attributes.items()}


def _about(context: RunContext) -> str:
    candidate = context.candidate
    return "" if candidate is None else f"{candidate.model} {candidate.version}"


def _properties(verdict: Verdict) -> Xml.Element:
    stated = {"verdict": verdict.verdict.value, "run": verdict.context.run_id}
    stated |= {f"input.{name}": verdict.inputs[name] for name in sorted(verdict.inputs)}
    parent = Xml.Element("properties")
    for name, value in stated.items():
        Xml.SubElement(parent, "property", {"name": _plain(name), "value": _plain(value)})
    return parent


def _of_finding(finding: Finding) -> Xml.Element:
    name = f"{finding.metric} ({finding.kind.replace('_', '-')})"
    if finding.slice is not None:
        name += f" [{finding.slice}]"
    tag = None
    if finding.status is not FindingStatus.PASSED:
        failed = finding.status is FindingStatus.FAILED
        tag = ("failure" if failed else "error") if finding.gating else "skipped"
    case = _case(f"assay.{finding.evaluator}", name, tag, finding.status.value, finding.reason)
    if tag is None:
        Xml.SubElement(case, "system-out").text = _plain(finding.reason)
    return case


def _of_problem(problem: Problem) -> Xml.Element:
    text = f"{problem.reason}\n{problem.action}"
    return _case("assay.problem", problem.where, "error", VerdictKind.INVALID.value, text)


def _case(group: str, name: str, tag: str | None, kind: str, text: str) -> Xml.Element:
    case = Xml.Element("testcase", {"classname": _plain(group), "name": _plain(name)})
    if tag is not None:
        about = {"message": _plain(text.partition("\n")[0])}
        if tag != "skipped":  # the only one of the three that has no type
            about["type"] = kind
        Xml.SubElement(case, tag, about).text = _plain(text)
    return case


def _alarming(cases: Iterable[Xml.Element]) -> bool:
    return any(case.find(tag) is not None for case in cases for tag in ("failure", "error"))


def _with(cases: Iterable[Xml.Element], tag: str) -> Iterable[Xml.Element]:
    return (case for case in cases if case.find(tag) is not None)


def _plain(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
