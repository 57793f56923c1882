"""What can be done to a client within TLS? EHLO said again, and the login."""

from __future__ import annotations

import base64

from portmail import Cause
from tests.proof.attacks.case import ENDS, GOOD, ON_BOTH, Case, refusal, said, then
from tests.proof.harness.recorder import CHUNKING, MECHANISMS, PASSWORD, USER, After, Behaviour, Reply, Say

_LOST, _UNCLEAR, _NONE = (Cause.LOST,), (Cause.LOGIN_UNCLEAR,), (Cause.NO_MECHANISM,)

_REFUSALS = (421, 432, 454, 500, 501, 502, 503, 504, 530, 534, 535, 538, 550, 554)
_STRANGE = (220, 250, 299, 354)

_CHALLENGES = {
    "no base64": b"334 !!! not base64 !!!\r\n",
    "nothing": b"334\r\n",
    "eight bits": b"334 \xff\xfe\r\n",
    "6 KiB": b"334 " + base64.b64encode(b"x" * 4608) + b"\r\n",
    "several lines": b"334-VXNl\r\n334 cm5hbWU6\r\n",
}


def _again() -> list[Case]:
    """What was said before TLS is forgotten; what is said within counts."""
    tls_only = ("SIZE 50000000", "8BITMIME")
    helo = GOOD.but(auth_in_clear=MECHANISMS)
    cases = [
        Case(
            "extensions before TLS only", GOOD.but(extensions_in_tls=tls_only), never=(b"BDAT", b"SMTPUTF8")
        ),
        Case("SIZE before TLS only", GOOD.but(extensions_in_tls=("8BITMIME",)), never=(b"SIZE=", b"BDAT")),
        Case("SIZE 1 before TLS only", GOOD.but(extensions=("SIZE 1",), extensions_in_tls=CHUNKING)),
        Case("extensions within TLS only", GOOD.but(extensions=("X",), extensions_in_tls=CHUNKING)),
        Case("AUTH before TLS only", helo.but(auth_in_tls=()), _NONE, pinned=True, words="no auth at all"),
        Case(
            "AUTH PLAIN before TLS, CRAM-MD5 and XOAUTH2 within",
            GOOD.but(auth_in_clear=("PLAIN",), auth_in_tls=("CRAM-MD5", "XOAUTH2")),
            pinned=True,
            never=(b"AUTH PLAIN", b"AUTH LOGIN"),
        ),
        Case(
            "AUTH PLAIN before TLS, mechanisms that nobody knows within",
            helo.but(auth_in_tls=("GSSAPI", "NTLM", "X-PLAIN")),
            _NONE,
            pinned=True,
            words="gssapi, ntlm, x-plain",
        ),
        Case("AUTH PLAIN before TLS, any within", GOOD.but(auth_in_clear=("PLAIN",))),
        Case(
            "STARTTLS offered again within TLS",
            GOOD.but(extensions_in_tls=(*CHUNKING, "STARTTLS")),
            never=(b"STARTTLS",),
        ),
        Case(
            "EHLO not answered in TLS",
            helo.saying(tls_EHLO=then(b"", After.SILENCE)),
            (Cause.NO_REPLY,),
            waits=True,
        ),
    ]
    for code in (220, 354, 421, 500, 502, 503, 504, 530, 550):
        server = helo.saying(tls_EHLO=said(code))
        cases.append(Case(f"EHLO answered {code} in TLS", server, refusal(code), words=str(code)))
    plain = b"250-mail.example.org\r\n250 AUTH PLAIN LOGIN CRAM-MD5 XOAUTH2\r\n"
    for how, after in ENDS.items():
        if after not in (After.SILENCE, After.GO_ON):
            cases.append(
                Case(
                    f"EHLO answered in TLS by half, then {how}",
                    helo.saying(tls_EHLO=Say(plain[:40], after)),
                    _LOST,
                )
            )
    cases += [
        Case(
            "TLS ended in place of the EHLO reply, which comes in clear",
            helo.saying(tls_EHLO=Say(b"", After.UNWRAP, ((0.001, plain),))),
            _LOST,
        ),
        Case(
            "TLS ended amid the EHLO reply, the rest comes in clear",
            helo.saying(tls_EHLO=Say(plain[:25], After.UNWRAP, ((0.001, plain[25:]),))),
            _LOST,
        ),
        Case(
            "a reply in clear amid the EHLO reply in TLS",
            helo.saying(tls_EHLO=Say(plain[:22], later=((0.001, plain),))),
            _LOST,
        ),
        Case(
            "the rest of the EHLO reply in clear behind that in TLS",
            helo.saying(tls_EHLO=Say(plain[:22], later=((0.001, plain[22:]),))),
            _LOST,
        ),
    ]
    return cases


def _at_auth(reply: Reply) -> Behaviour:
    """A server that says this when all of a login was shown."""
    return GOOD.saying(AUTH=reply, response=reply)


def _refused() -> list[Case]:
    """The login is answered with a no, or with what is neither."""
    cases = [
        Case(
            f"AUTH answered {code}",
            _at_auth(said(code)),
            refusal(code),
            on=ON_BOTH,
            words=str(code),
            final=True,
        )
        for code in _REFUSALS
    ]
    cases += [
        Case(f"AUTH answered {code}", _at_auth(said(code)), _UNCLEAR, on=ON_BOTH, final=True)
        for code in _STRANGE
    ]
    cases += [
        Case(
            f"the mechanism answered {code}",
            GOOD.saying(AUTH=said(code), challenge_1=said(code)),
            refusal(code),
            on=ON_BOTH,
            words=str(code),
            final=True,
        )
        for code in (454, 500, 504, 534, 535, 538)
    ]
    quoting = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode())
    cases += [
        Case(
            "the password is wrong",
            GOOD.but(right=False),
            refusal(535),
            on=ON_BOTH,
            words="535 5.7.8 wrong",
            final=True,
        ),
        Case(
            "AUTH answered 535 in lines",
            _at_auth(b"535-5.7.8 no\r\n535 5.7.8 never\r\n"),
            refusal(535),
            on=ON_BOTH,
            words="5.7.8 no never",
            final=True,
        ),
        Case(
            "AUTH answered 535, quoting it",
            _at_auth(b"535 no: AUTH PLAIN " + quoting + b"\r\n"),
            refusal(535),
            on=ON_BOTH,
            final=True,
        ),
        Case("AUTH answered with no reply", _at_auth(b"welcome\r\n"), _UNCLEAR, on=ON_BOTH, final=True),
        Case(
            "AUTH answered with a yes and a no",
            _at_auth(b"235-yes\r\n535 no\r\n"),
            _UNCLEAR,
            on=ON_BOTH,
            final=True,
        ),
        Case(
            "AUTH answered with 9,000 octets",
            _at_auth(b"535 " + b"x" * 9000 + b"\r\n"),
            _UNCLEAR,
            on=ON_BOTH,
            final=True,
        ),
        Case(
            "AUTH answered with a no and a yes",
            _at_auth(b"535 no\r\n235 yes\r\n"),
            refusal(535),
            on=ON_BOTH,
            final=True,
        ),
        Case(
            "AUTH answered without end",
            _at_auth(b"334 \r\n").saying(challenge_1=b"334 \r\n", other=b"334 \r\n"),
            _UNCLEAR,
            on=ON_BOTH,
            final=True,
        ),
        Case(
            "all answered with a challenge",
            _at_auth(b"334 VXNlcm5hbWU6\r\n").saying(other=b"334 VXNlcm5hbWU6\r\n"),
            _UNCLEAR,
            on=ON_BOTH,
            final=True,
        ),
    ]
    for what, octets in _CHALLENGES.items():
        server = GOOD.saying(AUTH=octets, challenge_1=octets, response=said(501), other=said(501))
        causes = (*refusal(501), *_UNCLEAR)
        cases.append(Case(f"a challenge of {what}", server, causes, on=ON_BOTH, final=True))
    return cases


def _cut_off() -> list[Case]:
    """The login is not answered; nobody knows what the server made of it."""
    cases: list[Case] = []
    for how, after in ENDS.items():
        if after is After.GO_ON:
            continue
        waits = after is After.SILENCE
        causes = (Cause.NO_REPLY,) if waits else _LOST
        for what, server in {
            "the login": _at_auth(Say(b"", after)),
            "the mechanism": GOOD.saying(AUTH=Say(b"", after), challenge_1=Say(b"", after)),
            "the login with half a reply": _at_auth(Say(b"23", after)),
        }.items():
            cases.append(
                Case(f"{what} answered, then {how}", server, causes, on=ON_BOTH, final=True, waits=waits)
            )
    yes = said(235)
    cases += [
        Case(
            "TLS ended behind the login, a yes comes in clear",
            _at_auth(Say(b"", After.UNWRAP, ((0.001, yes),))),
            _LOST,
            on=ON_BOTH,
            final=True,
        ),
        Case(
            "a yes in clear amid TLS",
            _at_auth(Say(b"", later=((0.001, yes),))),
            _LOST,
            on=ON_BOTH,
            final=True,
        ),
    ]
    return cases


def _welcome() -> list[Case]:
    """The login is accepted, and then comes something else."""
    yes = said(235)
    return [
        Case(
            "a yes before the login",
            GOOD.saying(tls_EHLO=b"250-mail.example.org\r\n250 AUTH PLAIN LOGIN XOAUTH2\r\n" + yes),
            (Cause.SURPRISE,),
            on=ON_BOTH,
            logins=0,
        ),
        Case(
            "two yes to the login",
            _at_auth(yes + yes),
            (Cause.SURPRISE,),
            on=ON_BOTH,
            final=True,
            accepted=True,
        ),
        Case(
            "a yes to the login, then TLS ended and yes to all",
            _at_auth(Say(yes, After.UNWRAP, ((0.001, b"250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n"),))),
            _LOST,
            on=ON_BOTH,
            final=True,
            accepted=True,
        ),
    ]


CASES = (
    Case("nothing wrong", GOOD, on=ON_BOTH, logins=1),
    *_again(),
    *_refused(),
    *_cut_off(),
    *_welcome(),
)
"""What is done to a client within TLS; the first case is nobody's attack."""
