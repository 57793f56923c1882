"""How is a client put to a certificate? Servers that show it, and the clients, who come by name."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import tempfile
import warnings
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from portmail import Security
from tests.proof.certificates.ca import World
from tests.proof.certificates.cases import Case
from tests.proof.certificates.odd import ServerContext, server_context
from tests.proof.harness import clients, tap
from tests.proof.harness.clients import Blocking, Errand, Said, Told
from tests.proof.harness.place import HOST, Place, Scene, in_a_thread
from tests.proof.harness.recorder import Behaviour
from tests.proof.harness.tally import AIOSMTPLIB, PORTMAIL, SMTPLIB

SLACK = 3.0
"""Seconds beyond its deadline, for a machine that has other things to do."""


@dataclass(frozen=True, slots=True)
class Run:
    """A case, and what became of it: by the client's word, and by the server's."""

    case: Case
    mode: Security
    told: Told
    scene: Scene
    context: ServerContext

    def __str__(self) -> str:
        return f"{self.case.name}, {self.mode.value}: {self.told}"


def runs(submit: Blocking, *, mode: Security, cases: Iterable[Case]) -> list[Run]:
    """Every case on a server of its own kind; all of them are over when this returns."""
    with tempfile.TemporaryDirectory(prefix="portmail-certificates-") as folder, in_a_thread() as place:
        world = World(Path(folder))
        done = [_run(submit, case, mode=mode, world=world, place=place) for case in cases]
        _catch_up(place)
        return done


def _catch_up(place: Place) -> None:
    """What clients wrote before this has been heard after it: the servers take turns."""
    place.show(Scene([Behaviour()]))
    with socket.create_connection((HOST, place.ports[0]), timeout=10) as sock:
        sock.recv(1)


def _run(submit: Blocking, case: Case, *, mode: Security, world: World, place: Place) -> Run:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of TLS 1.0 and 1.1
        change = case.change(world) if case.change else None
        context = server_context(str(world.file(case.shown(world))), change=change)
    behaviour = Behaviour(implicit_tls=mode is Security.IMPLICIT_TLS)
    scene = place.show(Scene([behaviour], strike=_DRIP if case.drip else None, tls=[context]))
    errand = Errand([(place.ports[0], mode)], clients.letter(), seconds=case.seconds, ca=world.ca)
    own = world.file(case.own(world)) if case.own else None
    with reached_by_name(case.host), _with_own(own), mock.patch.object(tap, "_DRIPS", 10**6):
        told = submit(errand)
    return Run(case, mode, told, scene, context)


_DRIP = tap.Strike(tap.Way.IN, 0, tap.Action.DRIP)


@contextlib.contextmanager
def reached_by_name(host: str) -> Iterator[None]:
    """Clients are told of this host, and every name leads to loopback: nobody is asked."""
    ask = socket.getaddrinfo

    def answer(name: Any, *given: Any, **named: Any) -> Any:
        flags = named.get("flags", given[4] if len(given) > 4 else 0)
        return ask(name if flags & socket.AI_NUMERICHOST else HOST, *given, **named)

    with mock.patch.object(clients, "HOST", host), mock.patch.object(socket, "getaddrinfo", answer):
        yield


@contextlib.contextmanager
def _with_own(certificate: Path | None) -> Iterator[None]:
    """Clients have a certificate of their own."""
    if certificate is None:
        yield
        return
    wishes = clients.wishes

    def more(errand: Errand) -> Mapping[str, object]:
        return {**wishes(errand), "client_cert": certificate}

    def verifying(ca: Path) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(ca))
        context.load_cert_chain(certificate)
        return context

    with mock.patch.object(clients, "wishes", more), mock.patch.object(clients, "verifying", verifying):
        yield


def in_a_loop(submit: Callable[[Errand], Awaitable[Told]]) -> Blocking:
    """An async client, used from nowhere; one that never ends is ended."""

    async def ended(errand: Errand) -> Told:
        seconds = errand.seconds + 2 * SLACK
        try:
            return await asyncio.wait_for(submit(errand), seconds)
        except TimeoutError as exc:
            return Told(Said.NOT_SENT, exc, seconds)

    return lambda errand: asyncio.run(ended(errand))


CLIENTS: Mapping[str, Blocking] = {
    PORTMAIL: in_a_loop(clients.by_portmail),
    AIOSMTPLIB: in_a_loop(clients.by_aiosmtplib),
    SMTPLIB: clients.by_smtplib,
}
