"""Would a defect be seen? Clients that fall for an attack on purpose, each with the fault it must show."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from unittest import mock

import aiosmtplib

import portmail
from portmail import verdict
from portmail.cause import Nature
from portmail.failure import Phase
from portmail.transports.intake import Intake
from portmail.verdict import Verdict
from tests.proof.attacks import clear, logins, tls
from tests.proof.attacks.case import LOGINS, Case
from tests.proof.attacks.playing import on_the_clock, untidy
from tests.proof.attacks.running import ALONE, WITH_A_GOOD_SECOND, Run
from tests.proof.harness.clients import Async, Errand, Said, Told, by_portmail, verifying
from tests.proof.harness.place import HOST
from tests.proof.harness.recorder import PASSWORD, USER
from tests.proof.harness.tally import Fault, Mutant, Tally

_OUR_NAME = "client.example.org"

_Defect = Callable[[], AbstractContextManager[object]]


def _sound() -> AbstractContextManager[object]:
    return contextlib.nullcontext()


def play(by: Async, cases: Sequence[str], defect: _Defect = _sound) -> Tally:
    """Put these cases to a client with this defect."""
    known = {case.name: case for case in (*clear.CASES, *tls.CASES, *logins.CASES)}
    runs = [run for name in cases for run in _runs(known[name])]
    with defect(), untidy():
        return on_the_clock(runs, by=by)


def _runs(case: Case) -> Iterator[Run]:
    for arrangement in (ALONE, WITH_A_GOOD_SECOND):
        yield Run(case, case.on[0], arrangement, LOGINS[0])


async def _as_it_comes(errand: Errand) -> Told:
    """In clear where STARTTLS is not offered."""
    return await _by_aiosmtplib(errand, start_tls=None, context=verifying(errand.authority))


async def _unverified(errand: Errand) -> Told:
    """With TLS to whoever it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return await _by_aiosmtplib(errand, start_tls=True, context=context)


async def _by_aiosmtplib(errand: Errand, *, start_tls: bool | None, context: ssl.SSLContext) -> Told:
    port, _ = errand.routes[0]
    try:
        await aiosmtplib.send(
            errand.message,
            hostname=HOST,
            port=port,
            username=USER,
            password=PASSWORD,
            local_hostname=_OUR_NAME,
            start_tls=start_tls,
            tls_context=context,
        )
    except aiosmtplib.SMTPException as exc:
        return Told(Said.NOT_SENT, portmail.Unreachable(str(exc)), 0.0)
    except Exception as exc:  # noqa: BLE001  # that it is of no hierarchy is the defect
        return Told(Said.NOT_SENT, exc, 0.0, foreign=True)
    return Told(Said.SENT, None, 0.0)


async def _with_helo(errand: Errand) -> Told:
    """Where EHLO is refused it says HELO, and then logs in all the same."""
    told = await by_portmail(errand)
    if told.said is Said.SENT or "EHLO" not in str(told.error):
        return told
    reader, writer = await asyncio.open_connection(HOST, errand.routes[0][0])
    shown = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    await reader.readline()
    for line in (f"HELO {_OUR_NAME}", f"AUTH PLAIN {shown}"):
        writer.write(f"{line}\r\n".encode())
        await reader.readline()
    writer.close()
    return told


async def _dumb(errand: Errand) -> Told:
    """Its errors name nothing."""
    told = await by_portmail(errand)
    return told if told.error is None else replace(told, error=portmail.Unreachable("it did not work"))


async def _rosy(errand: Errand) -> Told:
    """All is well."""
    return replace(await by_portmail(errand), said=Said.SENT, error=None)


async def _gloomy(errand: Errand) -> Told:
    """Nothing is."""
    return replace(await by_portmail(errand), said=Said.NOT_SENT, error=portmail.Unreachable("lost"))


async def _twice(errand: Errand) -> Told:
    """To be sure."""
    await by_portmail(errand)
    return await by_portmail(errand)


async def _patient(errand: Errand) -> Told:
    """Its deadline is ten times as far away."""
    began = time.monotonic()
    told = await by_portmail(replace(errand, seconds=errand.seconds * 10, timeouts=_LAX))
    return replace(told, seconds=time.monotonic() - began)


_LAX = portmail.Timeouts(greeting=500.0, command=500.0, total=550.0)


def _next_route_behind_a_no() -> AbstractContextManager[object]:
    table = {**verdict.TABLE, (Phase.AUTH, Nature.PERMANENT): Verdict.NEXT_ROUTE}
    return mock.patch.object(verdict, "TABLE", table)


def _credulous() -> AbstractContextManager[object]:
    """Whatever stands in the buffer is the answer to what is asked next."""
    return mock.patch.object(Intake, "spoke", property(lambda _self: False))


_STRIPPED = ("stripped", "offered as 'XXXXXXXA'", "stripped, with every mechanism")
_INJECTED = ("220, with a yes in the same segment", "220, with an EHLO reply in the same segment")

MUTANTS = (
    Mutant("goes on in clear when stripped", Fault.LEAK, partial(play, _as_it_comes, _STRIPPED)),
    Mutant("says HELO and logs in", Fault.LEAK, partial(play, _with_helo, ("EHLO answered 502",))),
    Mutant("believes any certificate", Fault.LEAK, partial(play, _unverified, ("a certificate: untrusted",))),
    Mutant(
        "tries the next route behind a 535",
        Fault.SECOND_LOGIN,
        partial(play, by_portmail, ("the password is wrong",), _next_route_behind_a_no),
    ),
    Mutant(
        "believes what was injected", Fault.WRONG_VERDICT, partial(play, by_portmail, _INJECTED, _credulous)
    ),
    Mutant("names nothing", Fault.WRONG_VERDICT, partial(play, _dumb, _STRIPPED)),
    Mutant("says that all was sent", Fault.FALSE_SUCCESS, partial(play, _rosy, _STRIPPED)),
    Mutant("says that nothing was sent", Fault.WRONG_CERTAINTY, partial(play, _gloomy, ("nothing wrong",))),
    Mutant("sends twice", Fault.DUPLICATE, partial(play, _twice, ("nothing wrong",))),
    Mutant(
        "waits for ever", Fault.HANG, partial(play, _patient, ("EHLO answered with a line every second",))
    ),
    Mutant("raises what it meets", Fault.FOREIGN, partial(play, _as_it_comes, ("TLS 1.1 at most",))),
)
