"""How is a message object written out? As the standard library's generator would, without its detours.

The shapes that programs make are written here, and a big text or file in them is left to be
encoded while it is sent. Everything else is the generator's.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterable, Sequence
from email.message import Message
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from portmail.addresses import holds_addresses, in_ascii, unaltered
from portmail.attachment import FileLines, FilePart
from portmail.canonical import BLOCK, Lines, Piece, Segment, octets_of, travels, whole_lines
from portmail.errors import HeaderError, PortmailError
from portmail.folding import Folding, Uncommon, check_kept, folding
from portmail.header import is_boundary

HIDDEN = frozenset(("bcc", "resent-bcc"))
"""Fields that never travel, in lower case."""

_Text: TypeAlias = str | Segment
_NamedField: TypeAlias = tuple[str, str]

_SIMPLE_TYPE = re.compile(r"([a-z0-9-]+)/([a-z0-9.+-]+)", re.IGNORECASE)
_OTHER_MAIN_TYPES = ("multipart", "message")  # those for which the generator has rules of its own
_DIGITS = len(str(sys.maxsize - 1))
_SAMPLE = f"{'=' * 15}{'0' * _DIGITS}=="
"""A boundary as the standard library makes them; how a field is folded depends on its length only."""


class Flat(NamedTuple):
    """A message written out: its fields, by their names in lower case, and all that follows."""

    fields: Sequence[_NamedField]
    """Text that stands for octets, with line ends."""
    rest: Sequence[Piece]
    """Begins with the empty line; canonical."""


def written(message: Message) -> Flat | None:
    """The message, octet for octet as the generator writes it; None if that is left to the generator.

    Raises:
        HeaderError, AddressError: a header that would not arrive as what it is.
        ContentError: the file of a part cannot be read.
    """
    if message.defects:
        return None
    try:
        fields, body = _part(message, form=folding(message.policy), outermost=True)
        rest = pieces_of(["\r\n", *body])
    except PortmailError:
        raise
    except Exception:  # noqa: BLE001  # Uncommon, or a failure that the generator may not have, or will tell
        return None
    return Flat(fields, rest) if all(map(travels, rest)) else None


def pieces_of(texts: Iterable[_Text]) -> list[Piece]:
    """The texts as octets, neighbours put together; a line end is added at the end if there is none.

    Raises:
        UnicodeEncodeError: a text that stands for no octets.
    """
    pieces: list[Piece] = []
    run: list[str] = []
    for text in texts:
        if isinstance(text, str):
            run.append(text)
            continue
        pieces.extend((octets_of("".join(run)), text))
        run = []
    end = octets_of("".join(run))
    if end:
        pieces.append(end if end.endswith(b"\r\n") else end + b"\r\n")
    return pieces


def _part(part: Message, *, form: Folding, outermost: bool = False) -> tuple[list[_NamedField], list[_Text]]:
    """The fields and the body of a part."""
    if not type(part).__module__.startswith("email.") and type(part) is not FilePart:
        raise Uncommon(type(part))  # a class of somebody else's may write itself
    items = [(name.lower(), name, value) for name, value in part.raw_items()]
    types = [value for key, _, value in items if key == "content-type"]
    made = ""
    if _is_multipart(part, types=types):
        body, made = _multipart(part, form=form, text=str(types[0]))
    else:
        body = _leaf(part, form=form)
    reader = part.policy
    fields: list[_NamedField] = []
    for key, name, value in items:
        if made and key == "content-type":
            fields.append((key, _with_boundary(name, value, boundary=made, form=form)))
        elif key in HIDDEN:
            check_kept(name, value, reader=reader)
        else:
            field = form.line(name, value, reader=reader)
            if field is None:
                field = _folded(name, value, form=form, reader=reader, outermost=outermost)
            fields.append((key, field))
    return fields, body


def _is_multipart(part: Message, *, types: Sequence[Any]) -> bool:
    """Whether it is one of the multiparts that are written here; False if it has a text for its body."""
    if len(types) > 1 or (not types and part.get_default_type() != "text/plain"):
        raise Uncommon(types)
    return bool(types) and _is_multipart_type(str(types[0]).partition(";")[0].strip())


@lru_cache(maxsize=256)  # a cache: few types make most parts
def _is_multipart_type(text: str) -> bool:
    match = _SIMPLE_TYPE.fullmatch(text)
    if match is None:
        raise Uncommon(text)
    main, sub = match[1].lower(), match[2].lower()
    if main == "multipart" and sub != "signed":
        return True
    if main.startswith(_OTHER_MAIN_TYPES):
        raise Uncommon(text)
    return False


def _folded(name: str, value: Any, *, form: Folding, reader: Any, outermost: bool) -> str:
    value = _outer(name, value, old=form.old) if outermost else value
    field = form.folded(name, value, reader=reader)
    if outermost and not field.isascii():
        raise Uncommon(name)  # what needs SMTPUTF8
    return unaltered(name, value=value, field=field)


def _outer(name: str, value: Any, *, old: bool) -> Any:
    """A value of the message's own header as it travels: with A-labels (RFC 5890)."""
    if str(value).isascii():
        return value
    usernames = [address.username for address in getattr(value, "addresses", ())]
    if (holds_addresses(name) if old else not hasattr(value, "fold")) or not all(map(str.isascii, usernames)):
        raise Uncommon(name)
    return in_ascii(name, value=value) or value


def _leaf(part: Message, *, form: Folding) -> list[_Text]:
    """The body of a part that is no multipart."""
    if isinstance(part, FilePart) and part.file is not None:
        lines = FileLines.of(part.file)
        return [lines] if lines.size else []
    text = part._payload  # type: ignore[attr-defined]  # noqa: SLF001  # `get_payload` would decode it
    if text is None:
        return []
    if type(text) is not str or not (text.isascii() or form.policy.cte_type == "8bit"):
        raise Uncommon(part)
    if len(text) > BLOCK:
        return _big(text)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return [text.replace("\n", "\r\n")]


def _big(text: str) -> list[_Text]:
    lines = whole_lines(text)
    if lines is None:
        raise Uncommon
    return [lines, text[lines.end :]]


def _multipart(part: Message, *, form: Folding, text: str) -> tuple[list[_Text], str]:
    """The body of a multipart, and the boundary that was made for it, if it has none of its own."""
    children: Any = part.get_payload() if part.is_multipart() else None
    odd = part.preamble is not None or part.epilogue  # a parser leaves an empty epilogue
    if odd or type(children) is not list or type(part.policy) is not type(form.policy):
        raise Uncommon(part)
    bodies = [_whole(child, form=form) for child in children]
    given = boundary_of(part) if "boundary" in text.lower() else None
    boundary = _boundary(bodies) if given is None else given
    if not boundary or not boundary.isascii():
        raise Uncommon(part)
    delimiter = f"--{boundary}\r\n"
    body: list[_Text] = []
    for before, texts in zip(("", *["\r\n"] * len(bodies)), bodies, strict=False):
        body += (before + delimiter, *texts)
    return [*body, f"{'' if bodies else delimiter}\r\n--{boundary}--\r\n"], "" if given else boundary


def _whole(part: Message, *, form: Folding) -> list[_Text]:
    fields, body = _part(part, form=form)
    return [*[text for _, text in fields], "\r\n", *body]


def boundary_of(part: Message) -> str:
    """The boundary of a multipart; "" if it has none.

    Raises:
        HeaderError: one that is not the same in the header and in the body.
    """
    boundary, parameter = part.get_boundary() or "", part.get_param("boundary")
    altered = isinstance(parameter, str) and parameter != boundary  # a tuple: it is coded (RFC 2231)
    if boundary and (altered or not is_boundary(boundary)):
        raise HeaderError(f"{boundary[:60]!r} is no boundary: use letters, digits and hyphens")
    return boundary


def _boundary(bodies: Iterable[Iterable[_Text]]) -> str:
    """A boundary of the standard library's kind that is nowhere in the bodies."""
    token = random.randrange(sys.maxsize)  # noqa: S311  # it is no secret
    boundary = f"{'=' * 15}{token:0{_DIGITS}d}=="
    if any(_holds(text, boundary) for texts in bodies for text in texts):
        raise Uncommon(boundary)
    return boundary


def _holds(text: _Text, boundary: str) -> bool:
    if isinstance(text, str):
        return boundary in text
    return isinstance(text, Lines) and boundary in text.text  # in base64 it cannot be


def _with_boundary(name: str, value: Any, *, boundary: str, form: Folding) -> str:
    """The Content-Type field of a multipart that has no boundary yet."""
    text = str(value)
    sample = _sample_type(name, text, form) if _SIMPLE_TYPE.fullmatch(text) else ""
    if _SAMPLE in sample:  # unless lines are so short that it was folded itself
        return sample.replace(_SAMPLE, boundary)
    return _bounded(name, value, boundary=boundary, form=form)


@lru_cache(maxsize=64)  # a cache: few types make most multiparts
def _sample_type(name: str, text: str, form: Folding) -> str:
    return _bounded(name, text, boundary=_SAMPLE, form=form)


def _bounded(name: str, value: Any, *, boundary: str, form: Folding) -> str:
    holder = Message(policy=form.policy)
    holder.set_raw(name, value)
    holder.set_boundary(boundary)
    [(_, bounded)] = holder.raw_items()
    return form.line(name, bounded, reader=form.policy) or form.folded(name, bounded, reader=form.policy)
