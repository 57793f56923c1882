"""What can be done to a client on its way into TLS? Injections, plain text, alerts, stalls, certificates."""

from __future__ import annotations

from portmail import Cause
from tests.proof.attacks.case import ENDS, GOOD, ON_465, ON_BOTH, Case, said
from tests.proof.harness.recorder import MECHANISMS, After, Behaviour, Say

_FAILED, _PLAIN = (Cause.TLS_FAILED,), (Cause.TLS_ON_PLAIN_PORT,)
_EITHER = (*_FAILED, *_PLAIN)
_INJECTED = (Cause.STARTTLS_INJECTION,)
_LATE = (*_INJECTED, *_EITHER)
"""What a segment of its own is called depends on what came of it in time."""

_OFFERED = GOOD.but(auth_in_clear=MECHANISMS)

_ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
    255: "no alert known",
}

_OF_OUR_CERTIFICATE = (42, 43, 44, 45, 46, 48, 116)

_INJECTIONS = {
    "an EHLO reply": b"250-mail.example.org\r\n250 AUTH PLAIN LOGIN\r\n",
    "an EHLO reply without its line end": b"250-mail.example.org\r\n250 AUTH PLAIN",
    "half an EHLO reply": b"250-mail.example.org\r\n",
    "a yes": b"250 ok\r\n",
    "a yes without its line end": b"250 ok",
    "another 220": b"220 go on\r\n",
    "a login's yes": b"235 2.7.0 welcome\r\n",
    "a no": b"454 4.7.0 no TLS\r\n",
    "a goodbye": b"421 4.3.2 bye\r\n",
    "a whole session": b"250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n221 bye\r\n",
    "a line end": b"\r\n",
    "a space": b" ",
    "a digit": b"2",
    "a zero": b"\0",
    "what is no reply": b"hello there",
    "8 KiB": b"250-" + b"x" * 8000 + b"\r\n",
    "an alert": b"\x15\x03\x03\x00\x02\x02\x28",
}

_PLAIN_ANSWERS = {
    "a yes": said(250),
    "another 220": said(220),
    "a no": said(454),
    "a goodbye": said(421),
    "an EHLO reply": b"250-mail.example.org\r\n250 AUTH PLAIN LOGIN\r\n",
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
}

_GARBAGE = {
    "zeros": bytes(200),
    "eight bits": bytes(range(255, 55, -1)),
    "64 KiB": b"\xa5" * 65_536,
    "a record of an unknown kind": b"\x63\x03\x03\x00\x04abcd",
    "a record of SSL 3.0": b"\x16\x03\x00\x00\x04\x02\x00\x00\x00",
    "a record of 64 KiB": b"\x16\x03\x03\xff\xff" + bytes(300),
    "data before the handshake": b"\x17\x03\x03\x00\x08250 ok\r\n",
    "an empty record": b"\x16\x03\x03\x00\x00" * 40,
}


def _injected() -> list[Case]:
    """Replies behind the 220, in clear."""
    cases = [
        Case(f"220, with {what} in the same segment", _OFFERED.saying(STARTTLS=said(220) + octets), _INJECTED)
        for what, octets in _INJECTIONS.items()
    ]
    for what, octets in _INJECTIONS.items():
        later = Say(said(220), later=((0.001, octets),))
        causes = _FAILED if what == "an alert" else _LATE
        # A few octets are no record yet: what follows them is the server's hello, which then makes no sense.
        cases.append(Case(f"220, with {what} 1 ms later", _OFFERED.saying(STARTTLS=later), causes))
    reply = _INJECTIONS["an EHLO reply"]
    for milliseconds in (10, 50, 1000):
        later = Say(said(220), later=((milliseconds / 1000, reply),))
        cases.append(
            Case(f"220, with an EHLO reply {milliseconds} ms later", _OFFERED.saying(STARTTLS=later), _LATE)
        )
    drops = Say(said(220), later=tuple((0.001, reply[n : n + 1]) for n in range(len(reply))))
    cases.append(Case("220, with an EHLO reply octet by octet", _OFFERED.saying(STARTTLS=drops), _LATE))
    for silent in (
        "an EHLO reply",
        "a whole session",
    ):  # the first step of a test for this: then EHLO is not answered
        server = _OFFERED.saying(STARTTLS=said(220) + _INJECTIONS[silent], tls_EHLO=Say(b"", After.SILENCE))
        cases.append(Case(f"220, with {silent} behind, and EHLO not answered in TLS", server, _INJECTED))
    for at in (0, 1, 5, 80, 200, 600):
        server = _OFFERED.but(amid_tls=(at, Say(reply)))
        cases.append(Case(f"an EHLO reply amid the handshake, at octet {at}", server, _EITHER, on=ON_BOTH))
    return cases


def _plain_or_web(what: str) -> tuple[Cause, ...]:
    """On the port of implicit TLS a web server is told as one."""
    return (*_PLAIN, Cause.PORTAL) if what == "HTTP" else _PLAIN


def _no_tls() -> list[Case]:
    """No TLS where it is due."""
    cases: list[Case] = []
    causes: tuple[Cause, ...]
    for how, after in ENDS.items():
        waits = after is After.SILENCE
        for what, octets in _PLAIN_ANSWERS.items():
            server = _OFFERED.but(instead_of_tls=Say(octets, after))
            cases.append(
                Case(
                    f"{what} in place of TLS, then {how}",
                    server,
                    _broken(_plain_or_web(what), after),
                    on=ON_BOTH,
                    waits=waits,
                )
            )
        for what, octets in _GARBAGE.items():
            if after is After.GO_ON:
                continue
            server = _OFFERED.but(instead_of_tls=Say(octets, after))
            cases.append(
                Case(
                    f"{what} in place of TLS, then {how}",
                    server,
                    _broken(_EITHER, after),
                    on=ON_BOTH,
                    waits=waits,
                )
            )
        if after is not After.GO_ON:
            server = _OFFERED.but(instead_of_tls=Say(b"", after))
            causes = (*_FAILED, Cause.NO_REPLY, Cause.DROPPED) if waits else (*_FAILED, Cause.DROPPED)
            cases.append(
                Case(f"nothing in place of TLS, then {how}", server, causes, on=ON_BOTH, waits=waits)
            )
    for code, name in _ALERTS.items():
        for level in (1, 2) if code in (0, 90, 112) else (2,):
            alert = bytes([21, 3, 3, 0, 2, level, code])
            server = _OFFERED.but(instead_of_tls=Say(alert, After.CLOSE))
            named = f"the {'fatal ' if level == 2 else ''}alert {name} in place of TLS"
            causes = (Cause.CLIENT_CERTIFICATE,) if code in _OF_OUR_CERTIFICATE else (*_FAILED, Cause.DROPPED)
            cases.append(Case(named, server, causes, on=ON_BOTH))
    cases.append(
        Case(
            "the alert user_canceled in place of TLS, then silence",
            _OFFERED.but(instead_of_tls=Say(bytes([21, 3, 3, 0, 2, 1, 90]), After.SILENCE)),
            (*_FAILED, Cause.NO_REPLY),
            on=ON_BOTH,
            waits=True,
        )
    )
    return cases


def _broken(causes: tuple[Cause, ...], after: After) -> tuple[Cause, ...]:
    """A reset may overtake what was said before it."""
    return (*causes, *_FAILED, Cause.DROPPED) if after is After.RESET else causes


def _in_the_handshake() -> list[Case]:
    cases: list[Case] = []
    for at in (0, 1, 5, 60, 127, 200, 500):
        for how, after in ENDS.items():
            if after is After.GO_ON:
                continue
            server = _OFFERED.but(amid_tls=(at, Say(b"", after)))
            waits = after is After.SILENCE
            causes = (*_FAILED, Cause.NO_REPLY) if waits else (*_FAILED, Cause.DROPPED)
            cases.append(Case(f"TLS, and at octet {at} {how}", server, causes, on=ON_BOTH, waits=waits))
    for code in (0, 10, 40, 48, 70, 80):
        alert = bytes([21, 3, 3, 0, 2, 2, code])
        server = _OFFERED.but(amid_tls=(90, Say(alert, After.CLOSE)))
        cases.append(
            Case(
                f"TLS, and at octet 90 the alert {_ALERTS[code]}",
                server,
                (*_EITHER, Cause.DROPPED),
                on=ON_BOTH,
            )
        )
    return cases


def _certificates() -> list[Case]:
    """A few; there is a part for them."""
    wrong = {
        "other name": (Cause.CERTIFICATE_NAME, "elsewhere.example"),
        "expired": (Cause.CERTIFICATE_EXPIRED, "expired on 2020-"),
        "future": (Cause.CERTIFICATE_EXPIRED, "not valid before 2100-"),
        "untrusted": (Cause.CERTIFICATE_UNTRUSTED, "issued by"),
    }
    cases = [
        Case(f"a certificate: {tls}", _OFFERED, (cause,), on=ON_BOTH, tls=tls, words=words)
        for tls, (cause, words) in wrong.items()
    ]
    return [
        *cases,
        Case("TLS 1.1 at most", _OFFERED, _FAILED, on=ON_BOTH, tls="old", words="1.2 is the least"),
        Case("a client certificate wanted", _OFFERED, (Cause.CLIENT_CERTIFICATE,), on=ON_BOTH, tls="client"),
    ]


def _plain_on_465() -> list[Case]:
    """No TLS on the port of implicit TLS."""
    plain = Behaviour(auth_in_clear=MECHANISMS).saying(**{"in clear": b"1"})
    cases = [
        Case(f"in clear on 465, {what}", plain.saying(greeting=octets), _plain_or_web(what), on=ON_465)
        for what, octets in {
            "a greeting": said(220, "mail.example.org ESMTP"),
            "a goodbye": said(421),
            "a no": said(554),
            "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "a greeting and all replies": said(220) + b"250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n",
        }.items()
    ]
    return [
        *cases,
        Case(
            "in clear on 465, a greeting before TLS", GOOD.saying(connect=Say(said(220))), _PLAIN, on=ON_465
        ),
        Case(
            "TLS on 587, where none was asked",
            GOOD.saying(connect=Say(b"\x16\x03\x01\x00\x05hello\r\n")),
            (Cause.NOT_SMTP,),
        ),
        Case("nobody there", GOOD, (Cause.REFUSED,), on=ON_BOTH, absent=True),
        Case(
            "reset on 465 at once",
            GOOD.saying(connect=Say(b"", After.RESET)),
            (*_FAILED, Cause.DROPPED),
            on=ON_465,
        ),
        Case(
            "closed on 465 at once",
            GOOD.saying(connect=Say(b"", After.CLOSE)),
            (*_FAILED, Cause.DROPPED),
            on=ON_465,
        ),
        Case(
            "silence on 465",
            GOOD.saying(connect=Say(b"", After.SILENCE)),
            (*_FAILED, Cause.NO_REPLY),
            on=ON_465,
            waits=True,
        ),
    ]


CASES = (*_injected(), *_no_tls(), *_in_the_handshake(), *_certificates(), *_plain_on_465())
"""What is done to a client on its way into TLS."""
