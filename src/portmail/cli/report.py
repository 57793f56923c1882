"""How is a result told? As lines for a person, or as JSON for a program; never with a secret."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TextIO

from portmail.cli.counting import Tally
from portmail.cli.lines import is_terminal, wrapped
from portmail.cli.outcomes import Outcome, State
from portmail.errors import ApprovalRequired, DeliveryError, DiscoveryError, PortmailError, Rejected
from portmail.language import Language, Words, words
from portmail.receipt import Attempt, Receipt
from portmail.reply import Reply
from portmail.security import TlsEvidence

_HEADING = "\nWhat to do: "

_LETTERS: Mapping[Language, str] = MappingProxyType({Language.ENGLISH: "", Language.JAPANESE: "日本語、です"})
"""Some of what a language is written with, beyond ASCII."""

IN_A_SHELL = {
    "give a larger timeouts=": "give more time (--timeout of `portmail send`)",
    "security=Security.IMPLICIT_TLS": "submissions:// in the account URL",
    "security=Security.STARTTLS": "submission:// in the account URL",
    "give host=": "name the server in the account URL",
    "give password= or token=": "give PORTMAIL_PASSWORD",
    "give token= in place of password=": "log in with a token (token=, in Python)",
    "give username=": "give PORTMAIL_USERNAME",
    "give username and password": "give a user name in the account URL, and PORTMAIL_PASSWORD",
    "as client_cert": "as client_cert (in Python)",
}
"""Advice for a program, and how a person at the command line follows it."""


def tell(text: str, *, to: TextIO | None = None) -> None:
    """Print a line. Where nobody reads it, that changes nothing: a mail that is sent is sent."""
    stream = to or sys.stdout
    try:
        print(text, file=stream, flush=True)
    except UnicodeEncodeError:  # a framework's stream, or one in a plain locale
        letters = getattr(stream, "encoding", None) or "ascii"
        tell(text.encode(letters, "backslashreplace").decode(letters), to=stream)
    except OSError:
        with contextlib.suppress(OSError, ValueError):  # what is left in its buffer goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def tell_aside(text: str) -> None:
    """Print a line on standard error; nowhere where there is none."""
    if sys.stderr is not None:
        tell(text, to=sys.stderr)


def in_json(data: Any) -> str:
    """The data for a program that reads standard output, in letters that it can carry."""
    text = json.dumps(data, ensure_ascii=False)
    return text if carries(sys.stdout, text) else json.dumps(data)


def carries(stream: TextIO | None, text: str) -> bool:
    """Whether the encoding of the stream has all of these letters."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")  # in memory there is none
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def readable(language: Language, *, on: TextIO | None) -> Language:
    """The language; English where the encoding of the stream has no letters for it."""
    return language if carries(on, _LETTERS[language]) else Language.ENGLISH


def print_receipt(receipt: Receipt, *, as_json: bool) -> None:
    """Tell what became of an accepted message, on standard output."""
    if as_json:
        tell(in_json(receipt_as_data(receipt)))
        return
    tell(f"accepted by {receipt.route}, {tls_in_words(receipt.tls)}: {receipt.reply}")
    tell(f"  for {', '.join(receipt.accepted)}")
    for recipient, reply in receipt.refused.items():
        tell(f"  refused: {recipient}: {reply}", to=sys.stderr)


def print_error(error: PortmailError, *, as_json: bool, language: Language = Language.ENGLISH) -> None:
    """Tell why it did not work: JSON on standard output, or words on standard error."""
    if as_json:
        tell(in_json(error_as_data(error)))
    else:
        tell(_laid_out(f"portmail: {error_in_words(error, words(language))}"), to=sys.stderr)


def _laid_out(text: str) -> str:
    """The text for standard error: on a terminal in lines that fit, elsewhere as it is."""
    if not is_terminal(sys.stderr):
        return text
    columns = shutil.get_terminal_size().columns
    lines = text.split("\n")
    indents = ["    " if line.startswith(" ") else "" for line in lines]
    return "\n".join(
        wrapped(it, columns=columns, indent=indent) for it, indent in zip(lines, indents, strict=True)
    )


def error_in_words(error: PortmailError, into: Words) -> str:
    """The error in a person's language, with advice in words of the command line."""
    if isinstance(error, DeliveryError) and error.decided is not None:
        from portmail.conclusion import in_words  # most errors are of other kinds

        return in_words(error, lambda text: into(in_a_shell(text)))
    told, heading, advice = str(error).rpartition(_HEADING)
    return told + heading + (in_a_shell(advice) if heading else advice)


def in_a_shell(advice: str) -> str:
    """Advice for a program, as a person at the command line follows it."""
    for in_python, here in IN_A_SHELL.items():
        advice = advice.replace(in_python, here)
    return advice


def tls_in_words(tls: TlsEvidence | None) -> str:
    """`TLS 1.3, certificate verified`, and what there may be instead."""
    if tls is None:
        return "unencrypted"
    proved = f"certificate verified for {tls.peer_name}" if tls.peer_name else "certificate not verified"
    return f"{tls.version.replace('TLSv', 'TLS ')}, {proved}"


def receipt_as_data(receipt: Receipt) -> dict[str, Any]:
    """The receipt as JSON-ready data."""
    return {
        "status": "partly accepted" if receipt.refused else "accepted",
        "message_id": receipt.message_id,
        "sender": receipt.sender,
        "accepted": list(receipt.accepted),
        "refused": {who: reply_as_data(reply) for who, reply in receipt.refused.items()},
        "reply": reply_as_data(receipt.reply),
        "route": str(receipt.route),
        "tls": tls_as_data(receipt.tls),
        "attempts": [attempt_as_data(attempt) for attempt in receipt.attempts],
        "duration": round(receipt.duration, 3),
    }


def outcome_as_data(outcome: Outcome) -> dict[str, Any]:
    """What became of one message of many, as JSON-ready data."""
    return {
        "key": outcome.key,
        "state": outcome.state.value,
        "message_id": outcome.message_id,
        "accepted": list(outcome.accepted),
        "refused": {who: reply_as_data(reply) for who, reply in outcome.refused.items()},
        "error": type(outcome.error).__name__ if outcome.error else None,
        "text": str(outcome.error) if outcome.error else None,
    }


def summary_as_data(tally: Tally, *, code: int, complete: bool) -> dict[str, Any]:
    """What became of all of them, of this run and of earlier ones, as JSON-ready data."""
    settled = (state for state in State if state is not State.BEGUN)
    return {
        "summary": {state.value: tally.count(state) for state in settled},
        "earlier": tally.earlier.total(),
        "partly_accepted": tally.partly,
        "complete": complete,
        "seconds": round(tally.elapsed, 3),
        "exit_code": code,
    }


def error_as_data(error: PortmailError) -> dict[str, Any]:
    """The error as JSON-ready data."""
    told: dict[str, Any] = {"status": "error", "error": type(error).__name__, "text": str(error)}
    if isinstance(error, DeliveryError):
        told |= {
            "message_id": error.message_id,
            "temporary": error.temporary,
            "retry_after": error.retry_after,
            "attempts": [attempt_as_data(attempt) for attempt in error.attempts],
        }
    if isinstance(error, DiscoveryError):
        told |= _search_as_data(error)
    if isinstance(error, Rejected):
        told["refused"] = {who: reply_as_data(reply) for who, reply in error.refused.items()}
    return told


def _search_as_data(error: DiscoveryError) -> dict[str, Any]:
    from portmail.cli.findings import candidate_as_data, evidence_as_data  # most errors are of other kinds

    evidence = [evidence_as_data(it) for it in error.evidence]
    told: dict[str, Any] = {"temporary": error.temporary, "evidence": evidence}
    if isinstance(error, ApprovalRequired) and error.candidate:
        told["candidate"] = candidate_as_data(error.candidate)
    return told


def tls_as_data(tls: TlsEvidence | None) -> dict[str, Any] | None:
    """What the encryption proved, as JSON-ready data."""
    return {"version": tls.version, "cipher": tls.cipher, "peer_name": tls.peer_name} if tls else None


def reply_as_data(reply: Reply) -> dict[str, Any]:
    """A reply, as JSON-ready data."""
    return {"code": reply.code, "enhanced": reply.enhanced, "text": reply.text}


def attempt_as_data(attempt: Attempt) -> dict[str, Any]:
    """A route tried and how it ended, as JSON-ready data."""
    failure = attempt.error
    return {
        "route": str(attempt.route),
        "phase": attempt.phase.value,
        "cause": failure.cause.value if failure else None,
        "text": str(failure) if failure else "accepted",
        "verdict": attempt.verdict.value,
        "seconds": round(attempt.seconds, 3),
    }
