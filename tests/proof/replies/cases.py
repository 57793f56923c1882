"""Which replies are tried at which step, and how does a server behave that gives one?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.message import EmailMessage
from itertools import cycle
from types import MappingProxyType

from portmail import Security
from tests.proof.harness.clients import RECIPIENT, Errand, letter
from tests.proof.harness.recorder import CHUNKING, LOCK_STEP, PIPELINING, Behaviour, Reply
from tests.proof.replies.shapes import SHAPES, say
from tests.proof.replies.table import (
    CODES,
    ENHANCED,
    NO_EHLO,
    TABLE,
    Outcome,
    Sense,
    believed,
    form,
    outcome,
    sense_of,
)

OTHER = "two@example.net"
"""The second recipient."""

OFFERS = MappingProxyType({"lock-step": LOCK_STEP, "PIPELINING": PIPELINING, "CHUNKING": CHUNKING})

_ONLY_IN = MappingProxyType(
    {
        "DATA": ("lock-step", "PIPELINING"),
        "end": ("lock-step", "PIPELINING"),
        "BDAT": ("CHUNKING",),
        "MAIL, nobody": ("lock-step",),
    }
)
_MANY_WAYS = ("MAIL", "RCPT 1", "RCPT 2", "RCPT", "DATA", "end", "BDAT", "RSET")
"""Steps at which it matters what EHLO offered."""

_MECHANISM = MappingProxyType(
    {"AUTH": "PLAIN", "challenge 1": "LOGIN", "challenge 2": "LOGIN", "response": "CRAM-MD5"}
)
_CHALLENGE = b"VXNlcm5hbWU6"
_UNREADABLE_CHALLENGE = ("lines", "8-bit", "NUL in the text", "an escape sequence", "CR in the text")
"""RFC 4954 section 4: a challenge is base64, and nothing beside it."""
_ALONE = (
    *("half a reply behind", "CR alone", "reset", "a line a second for ever", "a refusal behind"),
    *("half a reply, and closed", "half a line, and closed"),
)
"""What cannot be told from the replies to the other commands where many were said at once."""

_FORGIVEN = ("_ for a separator", "a tab for a separator", "a colon for a separator", "a fourth digit")
"""A greeting in clear is read by aiosmtplib, which looks at the code alone, of the last line. Nothing
rests on it: with credentials, all is said again within TLS. What is read within TLS is read by portmail."""


@dataclass(frozen=True, slots=True)
class Case:
    """One reply at one step. `second`: the second route has a good server, not the same one again."""

    step: str
    code: int
    enhanced: str = "none"
    shape: str = "a line"
    offer: str = "CHUNKING"
    second: bool = False

    def __str__(self) -> str:
        where = f"{self.step}, {self.offer}{', a good second route' if self.second else ''}"
        return f"{where}: {self.code:03d} with {self.enhanced} enhanced code, {self.shape}"

    @property
    def sense(self) -> Sense:
        """The column of the table."""
        by_code = sense_of(self.step, code=self.code)
        shaped = self._shaped
        if self.shape == "a refusal behind" and self.step == "DATA" and by_code is Sense.YES:
            return Sense.NEVER  # said while the content was on its way: it is of the content
        if shaped in (Sense.NONE, Sense.NOTHING, Sense.NEVER):
            return shaped
        if by_code is Sense.YES and self.step.startswith("challenge") and self.shape in _UNREADABLE_CHALLENGE:
            return Sense.OTHER
        # What came first counts where it ends the matter; one of two recipients does not.
        on = self.step in ("RCPT 1", "RCPT 2") or (self.step == "EHLO, nobody" and self.code in NO_EHLO)
        counts = by_code is not Sense.YES and not on
        return by_code if shaped is None or counts or by_code is Sense.NONE else shaped

    @property
    def _shaped(self) -> Sense | None:
        sense = SHAPES[self.shape].sense
        if self.step != "greeting":
            return sense
        if self.shape == "8 KiB":  # its line ends count too
            return Sense.NONE
        if self.shape == "codes that differ" and self.code == 220:
            return Sense.NEVER
        return None if self.shape in _FORGIVEN else sense

    @property
    def outcome(self) -> Outcome:
        """What must become of it."""
        return outcome(self.step, sense=self.sense, code=self.code, enhanced=self.read)

    @property
    def read(self) -> str | None:
        """The enhanced status code that the client reads."""
        return None if self.shape == "no separator" else believed(self.enhanced, code=self.code)

    @property
    def anonymous(self) -> bool:
        """Whether there are no credentials, and no TLS."""
        return self.step.endswith(", nobody")

    @property
    def implicit(self) -> bool:
        """Whether the connection begins with TLS."""
        return self.step == "tls greeting"

    @property
    def recipients(self) -> tuple[str, ...]:
        """Those who must have the message, if it is sent."""
        refused = self.sense in (Sense.LATER, Sense.NEVER)
        if self.step == "RSET" or (refused and self.step == "RCPT 1"):
            return (OTHER,)
        # Who is refused for want of room, as the second of two, is the first of the next transaction.
        too_many = self.code == 452 and self.enhanced == "none"
        return (RECIPIENT,) if refused and self.step == "RCPT 2" and not too_many else (RECIPIENT, OTHER)

    def behaviour(self) -> Behaviour:
        """The server that gives this reply."""
        step = "greeting" if self.implicit else self.step.removesuffix(", nobody")
        replies: dict[str, Reply] = {
            step: say(self.shape, code=self.code, enhanced=self._form, text=self._text)
        }
        if self._greets and self.code == 250:
            said = say(self.shape, code=250, enhanced=self._form, text=b"HELP")
            replies[step] = replace(said, octets=_lines(self._keywords) + said.octets)
        if self.step == "EHLO":
            replies["tls EHLO"] = _lines(_within(("PLAIN",), self.offer)) + b"250 HELP\r\n"
        if self.step == "RSET":
            replies["RCPT 1"] = b"550 5.1.1 nobody\r\n"
        good = Behaviour(extensions=OFFERS[self.offer], replies=replies)
        if self.anonymous:
            return good.but(starttls=(), auth_in_tls=())
        good = good.but(auth_in_tls=(_MECHANISM.get(self.step, "PLAIN"),))
        return good.but(implicit_tls=self.implicit)

    @property
    def security(self) -> Security:
        """Of both routes."""
        if self.anonymous:
            return Security.PLAINTEXT
        return Security.IMPLICIT_TLS if self.implicit else Security.STARTTLS

    @property
    def _greets(self) -> bool:
        return "EHLO" in self.step

    @property
    def _keywords(self) -> tuple[str, ...]:
        if self.step == "EHLO":
            return (*OFFERS[self.offer], "STARTTLS")
        return OFFERS[self.offer] if self.anonymous else _within(("PLAIN",), self.offer)

    @property
    def _form(self) -> str:
        return form(self.enhanced, code=self.code)

    @property
    def _text(self) -> bytes:
        return _CHALLENGE if self.step.startswith("challenge") and self.code == 334 else b"as we say here"


def _within(mechanisms: tuple[str, ...], offer: str) -> tuple[str, ...]:
    return (*OFFERS[offer], f"AUTH {' '.join(mechanisms)}")


def _lines(keywords: tuple[str, ...]) -> bytes:
    return b"".join(b"250-" + word.encode() + b"\r\n" for word in ("mail.example.org", *keywords))


def errand(case: Case, ports: tuple[int, ...], *, seconds: float) -> Errand:
    """What the client is asked for: the letter to two, on both routes."""
    asked = Errand([(port, case.security) for port in ports], to_two(), seconds=seconds)
    return asked.anonymous() if case.anonymous else asked


def to_two() -> EmailMessage:
    """The letter, to both recipients."""
    message = letter()
    del message["To"]
    message["To"] = f"{RECIPIENT}, {OTHER}"
    return message


def cases() -> Iterator[Case]:
    """All of them, each once: codes, then shapes, then enhanced codes, then second routes."""
    seen: set[Case] = set()
    for case in (*_codes(), *_shapes(), *_enhanced(), *_second()):
        if case not in seen and _playable(case):
            seen.add(case)
            yield case


def _offers(step: str) -> tuple[str, ...]:
    return _ONLY_IN.get(step) or (tuple(OFFERS) if step in _MANY_WAYS else ("CHUNKING",))


def _playable(case: Case) -> bool:
    challenged = case.step.startswith("challenge")
    if challenged and case.code == 235:  # welcomed before anything was shown: part 1 has such servers
        return False
    if challenged and case.code == 334 and case.enhanced != "none":
        return False
    alone = case.offer == "lock-step" or case.step not in _MANY_WAYS or case.step in ("end", "BDAT")
    if case.shape in _ALONE and not alone:
        return False
    if case.step == "RSET" and "behind" in case.shape and case.offer != "lock-step":
        return False
    # Behind the first of two refusals, the replies say one thing or another by what was pipelined.
    return case.step != "RCPT" or "behind" not in case.shape


def _codes() -> Iterator[Case]:
    for step in TABLE:
        enhanced, offers = cycle(("none", "right class", "none", "policy")), cycle(_offers(step))
        for code in CODES:
            yield Case(step, code, next(enhanced), offer=next(offers))


def _shapes() -> Iterator[Case]:
    for step, asked in TABLE.items():
        for shape, (_, sense, _after) in SHAPES.items():
            offers = _offers(step)
            if sense in (Sense.NONE, Sense.NOTHING):  # whatever the code
                yield from (Case(step, asked.due, shape=shape, offer=offer) for offer in offers)
                yield Case(step, 550, shape=shape, offer=offers[0])
            else:
                codes = (asked.due, 550)
                yield from (Case(step, code, shape=shape, offer=offer) for code in codes for offer in offers)
                yield Case(step, 451, shape=shape, offer=offers[0])


def _enhanced() -> Iterator[Case]:
    for step in TABLE:
        for enhanced in ENHANCED:
            for code in (451, 550):
                shape = "lines" if enhanced == "over-long" else "a line"
                yield Case(step, code, enhanced, shape, _offers(step)[-1])


def _second() -> Iterator[Case]:
    for step, asked in TABLE.items():
        for code in (asked.due, 355, 421, 451, 530, 550, 554):
            yield Case(step, code, offer=_offers(step)[0], second=True)
        for shape in ("words", "silence", "closed", "another reply behind", "50 KiB of lines"):
            yield Case(step, asked.due, shape=shape, offer=_offers(step)[0], second=True)
