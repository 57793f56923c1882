"""How does it stand with mail from here? `Report`: every way that was probed, and the verdict over all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from portmail.certificate import Certificate
from portmail.diagnosis import Diagnosis
from portmail.failure import Failure, Phase
from portmail.language import Language, Words, words
from portmail.phrase import Phrase, joined
from portmail.receipt import Attempt
from portmail.route import Route
from portmail.security import TlsEvidence
from portmail.seen import Seen
from portmail.story import Note

OPEN = "open"
"""The kind of a way that is open, and the word for it; the kind of any other is its cause's value."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One way, tried to the end that it is meant for: a route, by IPv4 or IPv6. Nothing was sent on it.

    Attributes:
        route: where to, and how it is secured.
        family: 4 or 6; None where the name had no address.
        address: the address that answered, or that was tried first.
        used: whether a submission with these settings would take the route.
        phase: how far it came; `Phase.DONE` where it is open.
        failure: why it is not open; None where it is.
        seconds: from the first packet to the end.
        greeting: what the server said first, empty if it said nothing.
        name: what it calls itself in its reply to EHLO.
        tls: what the encryption proved; None where there is none.
        certificate: what the server showed, also where it was refused.
        extensions: what it offers at the end (RFC 5321 section 4.1.1.1).
        mechanisms: the logins that it offers (RFC 4954).
    """

    route: Route
    family: int | None
    address: str
    used: bool
    phase: Phase
    failure: Failure | None
    seconds: float
    greeting: str = ""
    name: str = ""
    tls: TlsEvidence | None = None
    certificate: Certificate | None = None
    extensions: tuple[str, ...] = ()
    mechanisms: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """`open`, or the cause why it is not, as a word for programs."""
        return self.failure.cause.value if self.failure else OPEN

    @property
    def days_left(self) -> int | None:
        """Days until its certificate expires; negative since when it has, None where none was shown."""
        return self.certificate.days_left(datetime.now(UTC)) if self.certificate else None

    def seen(self) -> Seen:
        """What a diagnosis wants to know of it."""
        encrypted = self.tls is not None
        return Seen(self.route, self.failure, self.family, self.used, encrypted, self.certificate, self.name)


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found. `str(report)` is for a person: the verdict and what to do, then each way.

    Attributes:
        probes: every way that was tried.
        diagnosis: the verdict over all.
        login: how the login went; None where none was tried.
        showed_secret: whether the password or token was written to the server, whatever came of that.
        seconds: how long it took.
    """

    probes: tuple[Probe, ...]
    diagnosis: Diagnosis
    login: Attempt | None = None
    showed_secret: bool = False
    seconds: float = 0.0

    @property
    def can_send(self) -> bool:
        """Whether mail can go out with the settings as they are."""
        return self.diagnosis.can_send

    @property
    def route(self) -> Route | None:
        """The route that mail takes; where it cannot go out, one that is open with other settings, if any."""
        return self.diagnosis.open

    @property
    def kind(self) -> str:
        """The situation as a word for programs, such as `blocked`."""
        return self.diagnosis.situation.value

    def text(self, language: Language = Language.ENGLISH) -> str:
        """The verdict and what to do, then each way."""
        into = words(language)
        ways = (f"  {line}" for line in (way_in_words(it, into) for it in self.probes))
        return "\n".join((*paragraphs(self.diagnosis, into), *ways))

    def __str__(self) -> str:
        return self.text()


NEGATIVE, TO_DO = "Mail cannot go out.", "What to do:"


def paragraphs(diagnosis: Diagnosis, into: Words) -> list[str]:
    """The verdict and what to do in one paragraph; then a line for each note."""
    to_do, notes = what_to_do(diagnosis)
    told, advice = diagnosis.headline.said(into), joined((it.said(into) for it in to_do), into)
    if not diagnosis.can_send:
        told, advice = joined([into(NEGATIVE), told], into), advice and f"{into(TO_DO)} {advice}"
    return [joined([told, advice], into), *(f"- {note.said(into)}" for note in notes)]


def what_to_do(diagnosis: Diagnosis) -> tuple[list[Phrase], list[Phrase]]:
    """The advice, and the other notes. The best hint goes before the advice: it knows more."""
    hints = [it for it in diagnosis.notes if it.text == Note.HINT.value]
    told = [*hints[:1], *filter(None, [diagnosis.advice])]
    return told, [it for it in diagnosis.notes if it not in told]


def way_in_words(probe: Probe, into: Words) -> str:
    """A way and what became of it, in one line."""
    family = f" IPv{probe.family}" if probe.family else ""
    return f"{probe.route}{family}: {outcome_in_words(probe, into)} ({probe.seconds:.1f} s)"


def outcome_in_words(probe: Probe, into: Words) -> str:
    """What became of it."""
    if probe.failure is None:
        return into(OPEN)
    return probe.failure.told(into)
