"""What can be done to a client before TLS? Greetings, EHLO replies, and what becomes of STARTTLS."""

from __future__ import annotations

from portmail import Cause
from tests.proof.attacks.case import ENDS, GOOD, ON_465, ON_BOTH, Case, refusal, said, then
from tests.proof.harness.recorder import MECHANISMS, After, Behaviour, Say

EVERY_MECHANISM = (
    "PLAIN LOGIN CRAM-MD5 XOAUTH2 OAUTHBEARER DIGEST-MD5 NTLM GSSAPI GSS-SPNEGO KERBEROS_V4 KERBEROS_V5 "
    "SCRAM-SHA-1 SCRAM-SHA-1-PLUS SCRAM-SHA-224 SCRAM-SHA-224-PLUS SCRAM-SHA-256 SCRAM-SHA-256-PLUS "
    "SCRAM-SHA-384 SCRAM-SHA-384-PLUS SCRAM-SHA-512 SCRAM-SHA-512-PLUS SCRAM-SHA3-512 SCRAM-SHA3-512-PLUS "
    "SCRAM-MD5 ANONYMOUS EXTERNAL EAP-AES128 EAP-AES128-PLUS ECDH-X25519-CHALLENGE ECDSA-NIST256P-CHALLENGE "
    "GS2-KRB5 GS2-KRB5-PLUS GS2-IAKERB GS2-IAKERB-PLUS SAML20 OPENID20 OTP SKEY SECURID SPNEGO SPNEGO-PLUS "
    "SXOVER-PLUS NMAS_AUTH NMAS_LOGIN NMAS-SAMBA-AUTH 9798-M-DSA-SHA1 9798-M-ECDSA-SHA1 9798-M-RSA-SHA1-ENC "
    "9798-U-DSA-SHA1 9798-U-ECDSA-SHA1 9798-U-RSA-SHA1-ENC PASSDSS-3DES-1 SRP PPS APOP CRAM-SHA1 MSN XTOKEN"
)
"""Every mechanism ever seen."""

_STRIPPED = Behaviour(starttls=(), auth_in_clear=MECHANISMS)
_NOT_OFFERED = (Cause.STARTTLS_NOT_OFFERED, Cause.STARTTLS_STRIPPED, Cause.CLEAR_AUTH, Cause.PROXY)
_NO_SMTP, _SURPRISE, _LOST = (Cause.NOT_SMTP, Cause.PORTAL), (Cause.SURPRISE,), (Cause.LOST,)

_MASKS = ("XXXXXXXA", "XXXXXXXX", "XXXXXXXB", "xxxxxxxa", "STARTXXX", "********", "X-STARTTLS")
_LOOK_ALIKES = ("XSTARTTLS", "STARTTLSX", "STARTTLS=x", "STARTTLS:", "START TLS", "X STARTTLS", "-STARTTLS")
_STARTTLS_AFTER_ALL = ("starttls", "StartTls", "STARTTLS required", "STARTTLS ", " STARTTLS", "STARTTLS\t")

_EHLO_CODES = (220, 221, 299, 354, 421, 450, 500, 501, 502, 503, 504, 521, 530, 535, 550, 554)
_STARTTLS_CODES = (221, 250, 354, 421, 454, 500, 501, 502, 503, 504, 530, 535, 550, 554)
_GREETING_CODES = (211, 221, 235, 250, 300, 334, 354, 421, 450, 451, 500, 501, 521, 530, 535, 550, 554)
_NO_GREETINGS = {
    "HTTP": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "POP3": b"+OK POP3 ready\r\n",
    "IMAP": b"* OK IMAP4rev1 ready\r\n",
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x28\r\n",
    "zeros": bytes(64) + b"\r\n",
    "eight bits": bytes(range(128, 256)) + b"\r\n",
    "an empty line": b"\r\n",
    "a code of two digits": b"22 hello\r\n",
    "a code that changes": b"220-hello\r\n250 there\r\n",
    "an endless text": b"220-hello\r\n" * 20_000,
}
_ENDLESS = b"220 " + b"x" * 20_000
_GLUED = {
    "an EHLO reply": b"250-mail.example.org\r\n250 AUTH PLAIN LOGIN\r\n",
    "a yes": b"250 ok\r\n",
    "a login's yes": b"235 2.7.0 welcome\r\n",
    "a no": b"554 5.7.1 no\r\n",
    "the half of a reply": b"250-mail.example.org\r\n250-AU",
    "an octet": b"2",
    "no reply": b"\x16\x03\x01 hello",
}
_BIG = "".join(f"250-X-EXTENSION-{n:05} {'x' * 40}\r\n" for n in range(1000))


def _ehlo(*keywords: str) -> bytes:
    lines = ["mail.example.org", *keywords]
    return "".join(f"250{' ' if line is lines[-1] else '-'}{line}\r\n" for line in lines).encode()


def _stripped() -> list[Case]:
    """STARTTLS is not there, or not as itself."""
    cases = [
        Case("stripped", _STRIPPED, _NOT_OFFERED),
        Case("stripped, with AUTH nowhere", Behaviour(starttls=()), _NOT_OFFERED),
        Case("stripped, with every mechanism", _STRIPPED.but(auth_in_clear=(EVERY_MECHANISM,)), _NOT_OFFERED),
        Case(
            "stripped, with AUTH= of the last century",
            _STRIPPED.saying(EHLO=_ehlo("AUTH=LOGIN PLAIN")),
            _NOT_OFFERED,
        ),
        Case(
            "stripped, and STARTTLS answered all the same", _STRIPPED.saying(STARTTLS=said(220)), _NOT_OFFERED
        ),
        Case(
            "offered in the greeting only",
            _STRIPPED.saying(greeting=b"220 mail.example.org ESMTP STARTTLS\r\n"),
            _NOT_OFFERED,
        ),
        Case(
            "offered in the greeting only, on a line of its own",
            _STRIPPED.saying(greeting=b"220-mail.example.org\r\n220 STARTTLS\r\n"),
            _NOT_OFFERED,
        ),
        Case(
            "offered behind the server's name only",
            _STRIPPED.saying(EHLO=b"250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n"),
            _NOT_OFFERED,
        ),
        Case("an EHLO reply without any extension", _STRIPPED.saying(EHLO=said(250)), _NOT_OFFERED),
        Case("an empty EHLO reply", _STRIPPED.saying(EHLO=b"250\r\n"), _NOT_OFFERED),
    ]
    for mechanism in (*MECHANISMS, "DIGEST-MD5", "NTLM", "ANONYMOUS", "EXTERNAL"):
        server = _STRIPPED.but(auth_in_clear=(mechanism,))
        cases.append(Case(f"stripped, with {mechanism} alone", server, _NOT_OFFERED))
    for word in (*_MASKS, *_LOOK_ALIKES):
        told = "stands in its place" if "XXXXXX" in word.upper() else ""
        server = _STRIPPED.but(starttls=(word,))
        cases.append(Case(f"offered as {word!r}", server, _NOT_OFFERED, words=told))
    for word in _STARTTLS_AFTER_ALL:
        server = _STRIPPED.but(starttls=(word,), auth_in_clear=())
        cases.append(Case(f"offered as {word!r}, which it is", server))
    return cases


def _refused() -> list[Case]:
    """STARTTLS is offered, and not begun."""
    offered = GOOD.but(auth_in_clear=MECHANISMS)
    cases = [
        Case(
            f"STARTTLS answered {code}",
            offered.saying(STARTTLS=said(code)),
            (Cause.STARTTLS_REFUSED,),
            words=str(code),
        )
        for code in _STARTTLS_CODES
    ]
    cases += [
        Case(
            "STARTTLS answered 454, in lines",
            offered.saying(STARTTLS=b"454-no\r\n454 TLS\r\n"),
            (Cause.STARTTLS_REFUSED,),
        ),
        Case(
            "STARTTLS answered with silence",
            offered.saying(STARTTLS=then(b"", After.SILENCE)),
            (Cause.NO_REPLY,),
            waits=True,
        ),
        Case("STARTTLS answered by closing", offered.saying(STARTTLS=then(b"")), _LOST),
        Case("STARTTLS answered by a reset", offered.saying(STARTTLS=then(b"", After.RESET)), _LOST),
        Case("STARTTLS answered with half a reply", offered.saying(STARTTLS=then(b"22")), _LOST),
        Case("STARTTLS answered with no reply", offered.saying(STARTTLS=b"go ahead\r\n"), _SURPRISE),
        Case("STARTTLS answered with two digits", offered.saying(STARTTLS=b"22 go\r\n"), _SURPRISE),
        Case("STARTTLS answered with four digits", offered.saying(STARTTLS=b"2200 go\r\n"), _SURPRISE),
        Case("STARTTLS answered 220 in lines, as it may", offered.saying(STARTTLS=b"220-go\r\n220 on\r\n")),
        Case("STARTTLS answered 220 without a word, as it may", offered.saying(STARTTLS=b"220\r\n")),
        Case("STARTTLS answered 220 in eight bits, as it may", offered.saying(STARTTLS=b"220 \xff\xfe\r\n")),
    ]
    return cases


def _ehlos() -> list[Case]:
    """EHLO is refused, cut off, or answered with what is none."""
    helo_only = _STRIPPED.saying(STARTTLS=said(502))
    cases = [
        Case(
            f"EHLO answered {code}",
            helo_only.saying(EHLO=said(code)),
            refusal(code),
            on=ON_BOTH,
            words=str(code),
        )
        for code in _EHLO_CODES
    ]
    for how, after in ENDS.items():
        if after is After.GO_ON:
            continue
        causes, waits = (Cause.NO_REPLY,) if after is After.SILENCE else _LOST, after is After.SILENCE
        for what, octets in {
            "nothing": b"",
            "half a line": b"250-mail.exam",
            "a line": b"250-mail.example.org\r\n",
            "all before STARTTLS": b"250-mail.example.org\r\n250-AUTH PLAIN LOGIN\r\n",
            "half of STARTTLS": b"250-mail.example.org\r\n250-AUTH PLAIN LOGIN\r\n250 START",
            "STARTTLS without its line end": b"250-mail.example.org\r\n250 STARTTLS",
        }.items():
            server = GOOD.but(auth_in_clear=MECHANISMS).saying(EHLO=Say(octets, after))
            cases.append(
                Case(f"EHLO answered with {what}, then {how}", server, causes, on=ON_BOTH, waits=waits)
            )
    for what, octets in {
        "no reply": b"hello\r\n",
        "a code that changes": b"250-mail.example.org\r\n220 STARTTLS\r\n",
        "a line of 9,000 octets": b"250-mail.example.org\r\n250 STARTTLS " + b"x" * 9000 + b"\r\n",
        "40 KiB": b"250-mail.example.org\r\n" + _BIG.encode() + b"250 STARTTLS\r\n",
        "1 MiB without an end": b"250-mail.example.org\r\n" * 45_000,
        "carriage returns for line ends": b"250-mail.example.org\r250 STARTTLS\r" * 400,
    }.items():
        server = GOOD.but(auth_in_clear=MECHANISMS).saying(EHLO=octets)
        cases.append(Case(f"EHLO answered with {what}", server, _SURPRISE, on=ON_BOTH))
    drone = GOOD.saying(EHLO=Say(b"250-mail.example.org\r\n", After.AGAIN))
    cases += [
        Case("EHLO answered with a line every second", drone, (Cause.NO_REPLY,), on=ON_BOTH, waits=True),
        Case(
            "EHLO answered with 8 KiB, as it may",
            GOOD.saying(EHLO=_ehlo(*_keywords(120), "AUTH LOGIN XOAUTH2 PLAIN CRAM-MD5 ", "STARTTLS")),
        ),
        Case(
            "EHLO answered with a reply more",
            GOOD.saying(EHLO=_ehlo("STARTTLS") + b"250 ok\r\n"),
            _SURPRISE,
            on=ON_BOTH,
        ),
        Case(
            "EHLO answered with half a reply more",
            GOOD.saying(EHLO=_ehlo("STARTTLS") + b"250"),
            _SURPRISE,
            on=ON_BOTH,
        ),
        Case("HELO alone", helo_only.saying(EHLO=then(said(500))), refusal(500), on=ON_BOTH),
    ]
    return cases


def _keywords(count: int) -> list[str]:
    return [f"X-EXTENSION-{n:05} {'x' * 40}" for n in range(count)]


def _greetings() -> list[Case]:
    """The greeting is none, or more than one."""
    cases = [
        Case(
            f"greeted with {code}",
            GOOD.saying(greeting=said(code)),
            _greeted(code),
            on=ON_BOTH,
            words=str(code) if code >= 400 else "",
        )
        for code in _GREETING_CODES
    ]
    for what, octets in _NO_GREETINGS.items():
        server = GOOD.but(auth_in_clear=MECHANISMS).saying(greeting=octets)
        cases.append(Case(f"greeted with {what}", server, _NO_SMTP, on=ON_BOTH))
    for what, octets in _GLUED.items():
        server = GOOD.saying(greeting=said(220) + octets)
        cases.append(Case(f"greeted, with {what} glued behind", server, _SURPRISE, on=ON_BOTH))
        stripped = _STRIPPED.saying(greeting=said(220) + octets)
        cases.append(Case(f"greeted and stripped, with {what} glued behind", stripped, _SURPRISE))
    cases += [
        Case("greeted with nothing, then closed", GOOD.saying(greeting=then(b"")), (Cause.DROPPED,)),
        Case(
            "greeted with nothing, then reset", GOOD.saying(greeting=then(b"", After.RESET)), (Cause.DROPPED,)
        ),
        Case(
            "greeted with half a line, then closed",
            GOOD.saying(greeting=then(b"220 mail")),
            (Cause.DROPPED,),
            on=ON_BOTH,
        ),
        Case(
            "greeted with silence",
            GOOD.saying(greeting=then(b"", After.SILENCE)),
            (Cause.SILENT,),
            waits=True,
        ),
        Case(
            "greeted with a line every second",
            GOOD.saying(greeting=Say(b"220-hello\r\n", After.AGAIN)),
            (Cause.SILENT,),
            waits=True,
        ),
        Case("reset before the greeting", GOOD.saying(connect=then(b"", After.RESET)), (Cause.DROPPED,)),
        Case(
            "greeted with several lines, as it may",
            GOOD.saying(greeting=b"220-hello\r\n220-there\r\n220 mail\r\n"),
            on=ON_BOTH,
        ),
        Case("greeted in eight bits, as it may", GOOD.saying(greeting=b"220 \xe4\xf6\xfc\r\n"), on=ON_BOTH),
        Case("greeted without a word, as it may", GOOD.saying(greeting=b"220\r\n"), on=ON_BOTH),
        Case(
            "greeted in half a second, as it may",
            GOOD.saying(greeting=Say(b"220-hello\r\n", later=((0.5, b"220 mail\r\n"),))),
            waits=True,
        ),
        # In clear it is aiosmtplib that reads the greeting: three digits will do, and it waits for a line.
        Case(
            "greeted within TLS with a code of four digits", _greeting(b"2200 hello\r\n"), _NO_SMTP, on=ON_465
        ),
        Case("greeted within TLS with an endless line", _greeting(_ENDLESS), _NO_SMTP, on=ON_465),
        Case("greeted with an endless line", _greeting(_ENDLESS), (Cause.SILENT,), waits=True),
        Case(
            "greeted within TLS with silence",
            GOOD.saying(greeting=then(b"", After.SILENCE)),
            (Cause.NO_REPLY,),
            on=ON_465,
            waits=True,
        ),
        Case(
            "greeted within TLS with nothing, then closed",
            GOOD.saying(greeting=then(b"")),
            (Cause.DROPPED,),
            on=ON_465,
        ),
    ]
    return cases


def _greeting(octets: bytes) -> Behaviour:
    return GOOD.saying(greeting=octets)


def _greeted(code: int) -> tuple[Cause, ...]:
    return refusal(code) if code >= 400 else _NO_SMTP


CASES = (*_stripped(), *_refused(), *_ehlos(), *_greetings())
"""What is done to a client before TLS; on 465, before it says who it is."""
