"""`portmail sendmail -bs`: how does a program hand over messages in SMTP, on standard input and output?

What is answered to the final dot is what became of the submission.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO

from portmail.cli.exits import DATA, OK, RECIPIENTS
from portmail.cli.report import print_error, tell_aside
from portmail.cli.sendmail.message import Draft
from portmail.errors import PortmailError
from portmail.reply import printable

if TYPE_CHECKING:
    from portmail.cli.sendmail.desk import Desk
    from portmail.cli.sendmail.flags import Invocation

_PATH = re.compile(r"(?:FROM|TO):\s*(<[^<>]*>|[^\s<>]+)(?: .*)?", re.IGNORECASE)
_EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
_LONGEST = 4096
"""Octets of a command. What is longer is none."""
_OVERLONG = "too long"
"""In place of the verb: a verb has no blanks."""


class _Gone(Exception):
    """The program at the other end has gone; what it did not finish is not sent."""


@dataclass(slots=True)
class _Dialogue:
    """One run; `sender` is None outside of a transaction, and `refused` whether any recipient ever was."""

    source: BinaryIO
    sink: BinaryIO
    desk: Desk
    asked: Invocation
    sender: str | None = None
    recipients: list[str] = field(default_factory=list)
    line_end: bytes = b"\r\n"
    refused: bool = False
    over: bool = False

    def reply(self, text: str) -> None:
        """Answer at once: nobody is saved a round trip on a pipe."""
        self.sink.write(text.encode("utf-8", "replace") + b"\r\n")
        self.sink.flush()

    def command(self) -> tuple[str, str]:
        """The next verb, and what follows it. Raises _Gone at the end of the input."""
        line = beginning = self.source.readline(_LONGEST)
        while line and not line.endswith(b"\n"):
            line = self.source.readline(_LONGEST)
        if not line:
            raise _Gone
        if line is not beginning:
            return _OVERLONG, ""
        self.line_end = b"\r\n" if line.endswith(b"\r\n") else b"\n"
        verb, _, argument = line.decode("utf-8", "surrogateescape").strip().partition(" ")
        return verb.upper(), argument.strip()

    def content(self) -> bytes:
        """What stands before the final dot, which ends in the same way as the line of DATA did.

        Any other dot could be one that somebody wrote into a text (RFC 5321 section 4.1.1.4).
        """
        lines: list[bytes] = []
        whole = True
        for line in self.source:
            if whole and line == b"." + self.line_end:
                return b"".join(lines)
            lines.append(line[1:] if whole and line.startswith(b".") else line)
            whole = line.endswith(self.line_end)
        raise _Gone

    def begin_again(self) -> None:
        """No transaction."""
        self.sender, self.recipients = None, []


def serve(source: BinaryIO, sink: BinaryIO, *, desk: Desk, asked: Invocation) -> int:
    """Hold the dialogue to its end; what became of each message, its replies tell.

    One reply to the final dot is for all recipients: where some were refused, the exit code is for those.
    """
    talk = _Dialogue(source, sink, desk, asked)
    try:
        talk.reply("220 localhost ESMTP portmail")
        while not talk.over:
            verb, argument = talk.command()
            talk.reply(_answer(talk, verb, argument))
    except (_Gone, BrokenPipeError):
        if talk.sender is not None:
            tell_aside("portmail: the input ended within a message: not sent")
            return DATA
    return RECIPIENTS if talk.refused else OK


def _answer(talk: _Dialogue, verb: str, argument: str) -> str:
    answer = _VERBS.get(verb)
    if answer is None:
        return "500 5.5.1 command not recognized"
    try:
        return answer(talk, argument)
    except PortmailError as error:
        code = "451 4.3.0" if error.temporary else "554 5.0.0"
        # What to do about it is for a person, and has no room in a reply.
        print_error(error, as_json=False)
        return f"{code} {printable(str(error).partition(chr(10))[0])}"


def _ehlo(talk: _Dialogue, argument: str) -> str:
    talk.begin_again()
    *others, last = ("localhost", *_EXTENSIONS)
    return "\r\n".join([*(f"250-{line}" for line in others), f"250 {last}"]) if argument else _WHO


_WHO = "501 5.5.4 say who you are"


def _helo(talk: _Dialogue, argument: str) -> str:
    talk.begin_again()
    return "250 localhost" if argument else _WHO


def _mail(talk: _Dialogue, argument: str) -> str:
    path = _PATH.fullmatch(argument)
    if path is None:
        return "501 5.5.4 say MAIL FROM:<address>"
    if talk.sender is not None:
        return "503 5.5.1 a mail transaction has begun already"
    talk.sender = talk.desk.names.sender(path[1])
    return "250 2.1.0 sender noted"


def _rcpt(talk: _Dialogue, argument: str) -> str:
    path = _PATH.fullmatch(argument)
    if talk.sender is None:
        return "503 5.5.1 say MAIL first"
    found = talk.desk.names.recipients(path[1]) if path else ()
    if not found:
        return "501 5.5.4 say RCPT TO:<address>"
    talk.recipients += found
    return "250 2.1.5 recipient noted"


def _data(talk: _Dialogue, argument: str) -> str:
    if argument or not talk.recipients:
        return "554 5.5.1 no valid recipients"
    talk.reply("354 go ahead, and end with a dot")
    asked = replace(talk.asked, sender=talk.sender, recipients=tuple(talk.recipients), from_header=False)
    draft = Draft.of(talk.content())
    talk.begin_again()
    receipt = talk.desk.submit(draft, asked)
    refused = "".join(f"; refused: {recipient}: {reply}" for recipient, reply in receipt.refused.items())
    if refused:  # most programs read no more than the reply's code
        talk.refused = True
        tell_aside(f"portmail: accepted for {', '.join(receipt.accepted)}{refused}")
    return f"250 2.0.0 accepted by {receipt.route}{printable(refused)}"


def _rset(talk: _Dialogue, _argument: str) -> str:
    talk.begin_again()
    return "250 2.0.0 forgotten"


def _quit(talk: _Dialogue, _argument: str) -> str:
    talk.over = True
    return "221 2.0.0 bye"


_VERBS: dict[str, Callable[[_Dialogue, str], str]] = {
    "EHLO": _ehlo,
    "HELO": _helo,
    "MAIL": _mail,
    "RCPT": _rcpt,
    "DATA": _data,
    "RSET": _rset,
    _OVERLONG: lambda _talk, _argument: "500 5.5.2 line too long",
    "NOOP": lambda _talk, _argument: "250 2.0.0 still here",
    "VRFY": lambda _talk, _argument: "252 2.1.5 cannot verify, but will take the message",
    "QUIT": _quit,
}
