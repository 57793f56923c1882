"""How is a check told? The verdict in a paragraph, then a table of all ways; or as JSON for a program."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any, TextIO

from portmail.certificate import Certificate
from portmail.cli.columns import Cell, Row, Style, mark, show_table
from portmail.cli.lines import is_terminal, wrapped
from portmail.cli.report import attempt_as_data, in_a_shell, reply_as_data, tell, tls_as_data
from portmail.language import Language, Words, words
from portmail.phrase import Phrase, joined
from portmail.receipt import Attempt
from portmail.reply import printable
from portmail.report import Probe, Report, outcome_in_words, paragraphs

ROUTE, FAMILY, OUTCOME, SECONDS = "route", "IP", "what became of it", "s"
ENCRYPTED, UNENCRYPTED = "{version}, certificate valid for {days} days", "unencrypted"
UNPROVEN, LOGINS, NO_LOGIN = "{version}, nothing verified", "login by {mechanisms}", "no login offered"
NOTHING_SENT, LOGGED_IN = (
    "Nothing was sent, and no password was shown.",
    "Nothing was sent. One login was made, over proven TLS.",
)
TAKEN_LAST = "* a submission with these settings does not take this way"
CERTIFICATE = "Certificate of {host}: for {names}; issued by {issuer}; valid until {date}"

_WIDEST = 100
"""Columns of a paragraph, where the terminal is not narrower."""

_NARROWEST = 40

_FEW = 3
"""Names of a certificate that are shown."""


def show(report: Report, *, language: Language, stream: TextIO) -> None:
    """Print it for a person."""
    into = _words_here(language)
    paragraph, *notes = paragraphs(report.diagnosis, into)
    sign = mark("good" if report.can_send else "bad", stream=stream)
    tell(_wrapped(f"{sign.text} {paragraph}", stream=stream), to=stream)
    for note in notes:
        tell(_wrapped(note, stream=stream, indent="  "), to=stream)
    tell("", to=stream)
    headings = ["", into(ROUTE), into(FAMILY), into(SECONDS), into(OUTCOME)]
    show_table(headings, [_row(it, into, stream=stream) for it in report.probes], stream=stream)
    tell("", to=stream)
    if not all(it.used for it in report.probes):
        tell(into(TAKEN_LAST), to=stream)
    for line in dict.fromkeys(_certificate(it, into) for it in report.probes if it.certificate):
        tell(_wrapped(line, stream=stream, indent="  "), to=stream)
    said = LOGGED_IN if report.showed_secret else NOTHING_SENT
    tell(joined([into(said), f"({report.seconds:.1f} s)"], into), to=stream)


def _words_here(language: Language) -> Words:
    """The language, with advice in words of the command line."""
    into = words(language)
    return lambda text: into(in_a_shell(text))


def _wrapped(text: str, *, stream: TextIO, indent: str = "") -> str:
    """In lines that are easy to read, also in a file or a ticket."""
    columns = shutil.get_terminal_size((_WIDEST, 0)).columns if is_terminal(stream) else _WIDEST
    return wrapped(text, columns=max(_NARROWEST, min(columns, _WIDEST)), indent=indent)


def _certificate(probe: Probe, into: Words) -> str:
    """What the server showed, in a line."""
    certificate = probe.certificate
    assert certificate is not None
    names, more = certificate.names[:_FEW], certificate.names[_FEW:]
    values = {
        "host": probe.route.host,
        "names": ", ".join((*names, *(["..."] if more else []))) or certificate.subject,
        "issuer": certificate.issuer,
        "date": str(certificate.not_after.date()),
    }
    return printable(Phrase(CERTIFICATE, values).said(into))


def _row(probe: Probe, into: Words, *, stream: TextIO) -> Row:
    style = _style(probe)
    return [
        mark(style, stream=stream),
        Cell(f"{probe.route}{'' if probe.used else ' *'}"),
        Cell(f"IPv{probe.family}" if probe.family else ""),
        Cell(f"{probe.seconds:.1f}", "dim"),
        Cell("; ".join(_outcome(probe, into)), style),
    ]


def _style(probe: Probe) -> Style:
    if probe.failure is None:
        return "good"
    return "bad" if probe.used else "warning"


def _outcome(probe: Probe, into: Words) -> Iterator[str]:
    yield outcome_in_words(probe, into)
    if probe.failure is not None:
        return
    if probe.tls is None:
        yield into(UNENCRYPTED)
    else:
        values = {"version": probe.tls.version.replace("TLSv", "TLS "), "days": str(probe.days_left)}
        yield Phrase(ENCRYPTED if probe.tls.peer_name else UNPROVEN, values).said(into)
    mechanisms = ", ".join(probe.mechanisms)
    yield Phrase(LOGINS, {"mechanisms": mechanisms}).said(into) if mechanisms else into(NO_LOGIN)


def report_as_data(report: Report, *, language: Language, code: int) -> dict[str, Any]:
    """The check as JSON-ready data; `check.schema.json` describes it."""
    into, diagnosis = _words_here(language), report.diagnosis
    return {
        "status": "checked",
        "can_send": report.can_send,
        "kind": report.kind,
        "blocked_by": diagnosis.blocker.value,
        "route": str(report.route) if report.route else None,
        "verdict": diagnosis.headline.said(into),
        "advice": diagnosis.advice.said(into) if diagnosis.advice else None,
        "notes": [note.said(into) for note in diagnosis.notes],
        "language": language.value,
        "login": _login_as_data(report.login, showed_secret=report.showed_secret) if report.login else None,
        "probes": [_probe_as_data(it, into) for it in report.probes],
        "seconds": round(report.seconds, 3),
        "exit_code": code,
    }


def _login_as_data(login: Attempt, *, showed_secret: bool) -> dict[str, Any]:
    return {**attempt_as_data(login), "showed_secret": showed_secret}


def _probe_as_data(probe: Probe, into: Words) -> dict[str, Any]:
    failure, route = probe.failure, probe.route
    return {
        "route": str(route),
        "host": route.host,
        "port": route.port,
        "security": route.security.value,
        "family": f"ipv{probe.family}" if probe.family else None,
        "address": probe.address or None,
        "used": probe.used,
        "kind": probe.kind,
        "phase": probe.phase.value,
        "text": outcome_in_words(probe, into),
        "advice": into(failure.advice) if failure else None,
        "reply": reply_as_data(failure.reply) if failure and failure.reply else None,
        "greeting": probe.greeting or None,
        "name": probe.name or None,
        "tls": tls_as_data(probe.tls),
        "certificate": _certificate_as_data(probe.certificate, days=probe.days_left),
        "extensions": list(probe.extensions),
        "mechanisms": list(probe.mechanisms),
        "seconds": round(probe.seconds, 3),
    }


def _certificate_as_data(certificate: Certificate | None, *, days: int | None) -> dict[str, Any] | None:
    if certificate is None:
        return None
    return {
        "names": list(certificate.names),
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "days_left": days,
    }
