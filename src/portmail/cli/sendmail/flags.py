"""Which flags does sendmail(1) have, and what does a command line of it ask for?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, TypeAlias

from portmail.cli.exits import UsageError

USAGE = "usage: sendmail [-t] [-i] [-f sender] [-F name] [other flags] [--] [recipient ...]"


class Mode(Enum):
    """What there is to be done."""

    SEND = auto()
    """A message comes on standard input."""
    SMTP = auto()
    """SMTP commands come on standard input."""
    VERIFY = auto()
    """It is only told who the recipients would be."""
    LIST = auto()
    """The queue is listed."""
    NOTHING = auto()
    """What other programs keep in files or queues, and portmail has none of."""
    HELP = auto()


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a command line asks for.

    `sender` is None where it names none, and `from_header` whether the header names recipients, too.
    """

    mode: Mode = Mode.SEND
    recipients: tuple[str, ...] = ()
    sender: str | None = None
    full_name: str = ""
    from_header: bool = False
    dots_are_text: bool = False
    verbose: bool = False


class Value(Enum):
    """Whether a flag has a value, and where it stands."""

    NONE = auto()
    ANYWHERE = auto()
    """Behind the letter, or the next argument."""
    ATTACHED = auto()
    """Behind the letter, or there is none."""


_Wishes: TypeAlias = Mapping[str, Any]
_NO_WISHES: _Wishes = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Flag:
    """One letter: what a person calls its value, what it means, and what of an `Invocation` it sets."""

    value: Value
    shown: str
    meaning: str
    wishes: Callable[[str], _Wishes] = lambda _value: _NO_WISHES


_MODES = {
    "m": Mode.SEND,
    "s": Mode.SMTP,
    "v": Mode.VERIFY,
    "p": Mode.LIST,
    "i": Mode.NOTHING,
    "h": Mode.NOTHING,
    "H": Mode.NOTHING,
}


def _mode(value: str) -> _Wishes:
    mode = _MODES.get(value[:1])
    if mode is None:
        raise UsageError(f"-b{value} cannot be had: portmail is no daemon and keeps no queue.\n{USAGE}")
    return {"mode": mode}


def _queue_run(value: str) -> _Wishes:
    return _NO_WISHES if value[:1].isdecimal() else {"mode": Mode.NOTHING}


def _old_option(value: str) -> _Wishes:
    return {"dots_are_text": True} if value == "i" else _NO_WISHES


def _sender(value: str) -> _Wishes:
    return {"sender": value}


def _ignored(value: Value, shown: str, what: str) -> Flag:
    return Flag(value, shown, f"ignored: {what}")


FLAGS: Mapping[str, Flag] = MappingProxyType(
    {
        "t": Flag(
            Value.NONE,
            "",
            "To, Cc and Bcc name recipients, besides those on the command line",
            lambda _value: {"from_header": True},
        ),
        "i": Flag(
            Value.NONE,
            "",
            "a line with only a dot does not end the message",
            lambda _: {"dots_are_text": True},
        ),
        "f": Flag(
            Value.ANYWHERE,
            "sender",
            "the envelope sender, to whom bounces go; empty or <> for nobody; else it is that of the header",
            _sender,
        ),
        "r": Flag(Value.ANYWHERE, "sender", "as -f", _sender),
        "F": Flag(
            Value.ANYWHERE,
            "name",
            "the sender's name, for a message without From",
            lambda value: {"full_name": value},
        ),
        "v": Flag(Value.NONE, "", "tell which server took the message, and how", lambda _: {"verbose": True}),
        "b": Flag(
            Value.ANYWHERE,
            "mode",
            "m: a message on standard input (as without -b); s: SMTP on standard input; v: tell who the "
            "recipients would be; p: list the queue, which is always empty; i, h, H: nothing to be done",
            _mode,
        ),
        "o": Flag(
            Value.ANYWHERE, "option", "i: as -i; ignored: all others (-odi, -oem, -o7 ...)", _old_option
        ),
        "q": Flag(
            Value.ATTACHED, "[what]", "nothing to be done: there is no queue; -q30m: ignored", _queue_run
        ),
        "I": Flag(
            Value.NONE,
            "",
            "nothing to be done: the alias map is read each time",
            lambda _: {"mode": Mode.NOTHING},
        ),
        "A": _ignored(Value.ANYWHERE, "how", "there is one configuration"),
        "B": _ignored(Value.ANYWHERE, "type", "the message is looked at"),
        "C": _ignored(Value.ANYWHERE, "file", "see PORTMAIL_SENDMAIL_CONFIG"),
        "G": _ignored(Value.NONE, "", "a relay's rules for headers"),
        "L": _ignored(Value.ANYWHERE, "label", "a name in a log"),
        "N": _ignored(Value.ANYWHERE, "when", "when to notify of the delivery"),
        "O": _ignored(Value.ANYWHERE, "option", "options of Sendmail"),
        "R": _ignored(Value.ANYWHERE, "what", "what a bounce holds"),
        "U": _ignored(Value.NONE, "", "an initial submission, as always"),
        "V": _ignored(Value.ANYWHERE, "id", "an envelope's name"),
        "X": _ignored(Value.ANYWHERE, "file", "a log"),
        "c": _ignored(Value.NONE, "", "an old flag"),
        "d": _ignored(Value.ATTACHED, "[level]", "debugging"),
        "e": _ignored(Value.ANYWHERE, "how", "how errors are told: by the exit code and on standard error"),
        "h": _ignored(Value.ANYWHERE, "hops", "a limit against loops"),
        "m": _ignored(Value.NONE, "", "an old flag"),
        "n": _ignored(Value.NONE, "", "an old flag; aliases always count"),
        "p": _ignored(Value.ANYWHERE, "protocol", "from where the message came"),
        "x": _ignored(Value.NONE, "", "an old flag"),
    }
)
"""As in Postfix's sendmail(1), and -d of Sendmail's own."""


def parse(arguments: Sequence[str]) -> Invocation:
    """Understand a command line in the way of getopt(3): flags come first, `--` ends them.

    Raises:
        UsageError: a flag that there is not, one without its value, or one behind a recipient.
    """
    rest = list(arguments)
    wishes: dict[str, Any] = {}
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "--":
            return Invocation(recipients=tuple(rest), **wishes)
        wishes |= {"mode": Mode.HELP} if word == "--help" else _wishes(word[1:], rest)
    # Taken for recipients they would be sent mail; taken for flags, a recipient could be one.
    behind = next((word for word in rest if word.startswith("-")), None)
    if behind is not None:
        raise UsageError(f"{behind!r} stands behind a recipient: flags come first.\n{USAGE}")
    return Invocation(recipients=tuple(rest), **wishes)


def _wishes(letters: str, rest: list[str]) -> _Wishes:
    """Those of the flags in one argument; the value of the last one may be the first of the `rest`."""
    wishes: dict[str, Any] = {}
    if not letters:
        raise UsageError(f"'-' is no flag and no recipient.\n{USAGE}")
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = FLAGS.get(letter)
        if flag is None:
            raise UsageError(f"there is no flag -{letter}: `portmail sendmail --help` lists them.\n{USAGE}")
        value = ""
        if flag.value is not Value.NONE:
            value, letters = letters, ""
        if flag.value is Value.ANYWHERE and not value:
            if not rest:
                raise UsageError(f"-{letter} needs a value: {flag.shown}.\n{USAGE}")
            value = rest.pop(0)
        wishes |= flag.wishes(value)
    return wishes


def table() -> str:
    """All flags, a line or a few for each."""
    from textwrap import fill

    lines = [
        fill(f"{f'-{letter} {flag.shown}':<14}{flag.meaning}", 79, subsequent_indent=" " * 14)
        for letter, flag in FLAGS.items()
    ]
    return "\n".join(lines)
