"""On which ways may a secret come to light? What servers do to a client that logs in, and what they echo."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from tests.proof.harness.recorder import (
    CHALLENGE,
    MECHANISMS,
    PASSWORD,
    TOKEN,
    USER,
    After,
    Behaviour,
    Say,
    cram_md5,
)


@dataclass(frozen=True, slots=True)
class Path:
    """A way for one submission with a login."""

    name: str
    mechanism: str
    behaviour: Behaviour = field(default_factory=Behaviour)
    trusted: bool = True
    """Whether the client trusts the server's certificate."""
    listening: bool = True
    """Whether there is a server."""
    cancelled: bool = False
    """Whether it is cancelled after a second."""

    @property
    def secret(self) -> str:
        """What the client logs in with."""
        return TOKEN if self.mechanism == "XOAUTH2" else PASSWORD

    def __str__(self) -> str:
        mode = "465" if self.behaviour.implicit_tls else "587"
        return f"{self.mechanism} on {mode}: {self.name}"


def said_in(mechanism: str) -> bytes:
    """What is said of the secret in a login, without base64."""
    return {
        "PLAIN": f"\0{USER}\0{PASSWORD}".encode(),
        "LOGIN": PASSWORD.encode(),
        "CRAM-MD5": cram_md5(CHALLENGE),
        "XOAUTH2": f"user={USER}\x01auth=Bearer {TOKEN}\x01\x01".encode(),
    }[mechanism]


def derived(mechanism: str) -> list[bytes]:
    """What is as good as the secret, or helps to guess it: the response, and what it is on the wire."""
    response = said_in(mechanism)
    encoded = base64.b64encode(response)
    words = [encoded.rstrip(b"="), encoded.hex().encode()]
    return [*words, response.rpartition(b" ")[2]] if mechanism == "CRAM-MD5" else words


_ANSWERS: Mapping[str, bytes | Say] = {
    "it is wrong": b"535 5.7.8 wrong\r\n",
    "a transition is needed": b"432 4.7.12 a password transition is needed\r\n",
    "not now": b"454 4.7.0 temporary failure\r\n",
    "too weak": b"534 5.7.9 the mechanism is too weak\r\n",
    "encryption required": b"538 5.7.11 encryption required\r\n",
    "an unknown mechanism": b"504 5.5.4 unrecognized\r\n",
    "a syntax error": b"501 5.5.2 cannot decode\r\n",
    "login required": b"530 5.7.0 authentication required\r\n",
    "success of another kind": b"250 2.0.0 ok\r\n",
    "no base64": b"334 what is this?\r\n",
    "another challenge": b"334 YW5vdGhlcg==\r\n",
    "no reply at all": b"what?\r\n",
    "closing": Say(b"421 4.3.2 shutting down\r\n", After.CLOSE),
    "closed without a word": Say(b"", After.CLOSE),
    "reset": Say(b"", After.RESET),
    "silence": Say(b"", After.SILENCE),
    "half a reply": Say(b"535-5.7.8 half\r\n", After.SILENCE),
    "success, and something unasked": b"235 2.7.0 welcome\r\n250 2.0.0 unasked\r\n",
}
"""What a server may say at the end of a login."""

_OPENINGS: Mapping[str, Mapping[str, bytes | Say]] = {
    "no greeting": {"greeting": Say(b"", After.CLOSE)},
    "unwelcome": {"greeting": b"554 5.3.2 go away\r\n"},
    "no EHLO": {"EHLO": b"502 5.5.1 no\r\n"},
    "lost at MAIL": {"MAIL": Say(b"", After.CLOSE)},
    "the sender is refused": {"MAIL": b"550 5.7.1 no\r\n"},
    "the recipient is refused": {"RCPT": b"550 5.1.1 no\r\n"},
    "the content is refused": {"end": b"554 5.7.1 no\r\n", "BDAT": b"554 5.7.1 no\r\n"},
    "in doubt": {"end": Say(b"", After.CLOSE), "BDAT": Say(b"", After.CLOSE)},
    "accepted": {},
}


def paths() -> Iterator[Path]:
    """All of them."""
    for implicit, mechanism in product((False, True), MECHANISMS):
        server = Behaviour(implicit_tls=implicit, auth_in_tls=(mechanism,))
        yield from _failing(server, mechanism)
        if not implicit:
            yield from _stripped(server, mechanism)
        yield from _echoing(server, mechanism)


def _failing(server: Behaviour, mechanism: str) -> Iterator[Path]:
    for name, said in _ANSWERS.items():
        yield Path(name, mechanism, server.saying(AUTH=said, response=said))
    for name, replies in _OPENINGS.items():
        yield Path(name, mechanism, server.saying(**replies))
    yield Path("an unknown issuer", mechanism, server, trusted=False)
    yield Path("nobody listens", mechanism, server, listening=False)
    yield Path("no mechanism", mechanism, server.but(auth_in_tls=("GSSAPI",)))
    silence = Say(b"", After.SILENCE)
    yield Path("cancelled", mechanism, server.saying(AUTH=silence, response=silence), cancelled=True)


def _stripped(server: Behaviour, mechanism: str) -> Iterator[Path]:
    clear = server.but(auth_in_clear=(mechanism,))
    yield Path("STARTTLS stripped", mechanism, clear.but(starttls=()))
    yield Path("STARTTLS refused", mechanism, clear.saying(STARTTLS=b"454 4.7.0 not now\r\n"))
    yield Path("no TLS behind 220", mechanism, clear.but(instead_of_tls=Say(b"250 2.0.0 ok\r\n")))
    injected = b"220 2.0.0 go ahead\r\n250 2.0.0 injected\r\n"
    yield Path("injected behind 220", mechanism, clear.saying(STARTTLS=injected))


_ECHOES = ("raw", "hex", "HEX", "quoted", "response", "line", "shifted", "within")

_ECHOING: Mapping[str, tuple[Mapping[str, bytes], Sequence[str]]] = {
    "AUTH": ({"AUTH": b"535 5.7.8 %s\r\n", "response": b"535 5.7.8 %s\r\n"}, _ECHOES),
    "AUTH, in lines": ({"AUTH": b"535-no\r\n535 %s\r\n", "response": b"535-no\r\n535 %s\r\n"}, _ECHOES),
    "the welcome": ({"AUTH": b"235 2.7.0 %s\r\n", "response": b"235 2.7.0 %s\r\n"}, _ECHOES),
    "another success": ({"AUTH": b"250 2.0.0 %s\r\n", "response": b"250 2.0.0 %s\r\n"}, ("raw", "line")),
    "no reply": ({"AUTH": b"?? %s\r\n", "response": b"?? %s\r\n"}, _ECHOES),
    "no reply, cut off": (
        {"AUTH": b"%s %%s\r\n" % (b"x" * 100), "response": b"%s %%s\r\n" % (b"x" * 100)},
        _ECHOES,
    ),
    "unasked": ({"AUTH": b"235 ok\r\n250 %s\r\n", "response": b"235 ok\r\n250 %s\r\n"}, _ECHOES),
    "MAIL": ({"MAIL": b"550 5.7.1 %s\r\n"}, _ECHOES),
    "RCPT": ({"RCPT": b"550 5.1.1 %s\r\n"}, _ECHOES),
    "closing at MAIL": ({"MAIL": b"421 4.3.2 %s\r\n"}, _ECHOES),
    "no reply to MAIL": ({"MAIL": b"?? %s\r\n"}, _ECHOES),
    "the end": ({"end": b"554 5.6.0 %s\r\n", "BDAT": b"554 5.6.0 %s\r\n"}, _ECHOES),
    "the receipt": ({"end": b"250 2.0.0 %s\r\n", "BDAT": b"250 2.0.0 %s\r\n"}, _ECHOES),
    "QUIT": ({"QUIT": b"221 2.0.0 %s\r\n"}, _ECHOES),
}
"""Where a server repeats what it heard, and in which forms."""


def echo(form: str, mechanism: str) -> bytes:
    """What a server would say of a login, in this form."""
    secret = (TOKEN if mechanism == "XOAUTH2" else PASSWORD).encode()
    response = said_in(mechanism)
    encoded = base64.b64encode(response)
    return {
        "raw": secret,
        "hex": secret.hex().encode(),
        "HEX": secret.hex().upper().encode(),
        "quoted": secret.replace(b" ", b"%20").replace(b"&", b"%26"),
        "response": response.translate(None, b"\0\x01"),
        "line": b"AUTH " + mechanism.encode() + b" " + encoded,
        "shifted": base64.b64encode(b"?" + secret + b"??"),
        "within": b"<" + base64.b64encode(b"it was " + secret) + b">",
    }[form]


def _echoing(server: Behaviour, mechanism: str) -> Iterator[Path]:
    shift = MECHANISMS.index(mechanism) + server.implicit_tls * len(MECHANISMS)
    for number, (place, (replies, echoes)) in enumerate(_ECHOING.items()):
        # Two forms for each place: all of them, over all mechanisms and modes.
        for form in {echoes[(number + 2 * shift + more) % len(echoes)]: None for more in (0, 1)}:
            said = {step: reply % echo(form, mechanism) for step, reply in replies.items()}
            yield Path(f"{form} echoed in {place}", mechanism, server.saying(**said))
