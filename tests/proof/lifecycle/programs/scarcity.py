"""What does a program do with a client where threads or descriptors have run out?"""

from __future__ import annotations

import asyncio
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import portmail
from tests.proof.lifecycle.programs.clients import (
    Aiosmtplib,
    Client,
    Portmail,
    Server,
    by_number,
    letter,
    wishes,
)
from tests.proof.lifecycle.programs.making import made
from tests.proof.lifecycle.programs.words import attempt, attempt_async, blocking_attempt


def no_threads(server: Server) -> None:
    """No thread can be started: in a plain program, in a loop, and afterwards."""
    mail = made(server)
    stack = threading.stack_size(2**46)
    attempt(mail.send, 1)
    attempt(made(server).send, 2)

    if not isinstance(mail, Aiosmtplib):
        asyncio.run(blocking_attempt(mail.send, 100))
    threading.stack_size(stack)
    attempt(mail.send, 3)
    mail.close()


def no_threads_warm(server: Server) -> None:
    """No more threads can be started than there are."""
    mail = made(server)
    attempt(mail.send, 1)
    stack = threading.stack_size(2**46)
    attempt(mail.send, 2)
    threading.stack_size(stack)
    attempt(mail.send, 3)
    mail.close()


@contextmanager
def _room_for(more: int) -> Iterator[None]:
    """So many more descriptors can be had."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    last = max(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208  # as above
    fillers = [os.open(os.devnull, os.O_RDONLY)]
    while fillers[-1] < last:
        fillers.append(os.open(os.devnull, os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1] + 1 + more, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for filler in fillers:
            os.close(filler)


def _without_retry(server: Server) -> Client:
    return Portmail(server, retry=None) if server.client == "portmail" else made(server)


def no_descriptors(server: Server, *, more: int) -> None:
    """Few descriptors are left for one that was made before, in a loop that runs; afterwards it goes on."""
    mail = _without_retry(server)
    if isinstance(mail, Aiosmtplib):
        asyncio.run(_few_in_a_loop(mail, more))
        return
    with _room_for(more):
        attempt(mail.send, 100)
    attempt(mail.send, 1)
    mail.close()


async def _few_in_a_loop(mail: Aiosmtplib, more: int) -> None:
    # The loop is the program's, who would not blame the library for what it costs.
    with _room_for(more):
        await attempt_async(mail.deliver, 100)
    await attempt_async(mail.deliver, 1)


def no_descriptors_warm(server: Server) -> None:
    """There are none left, the server hangs up, and they come back."""
    mail = _without_retry(server)
    attempt(mail.send, 1)
    with _room_for(0):
        attempt(mail.send, 100)
        attempt(mail.send, 101)
    attempt(mail.send, 2)
    mail.close()


def no_descriptors_made(server: Server) -> None:
    """One is made while there are none left; the system's trust store is what it knows the server by."""
    os.environ["SSL_CERT_FILE"] = server.ca
    few: list[portmail.Submitter] = []
    kind = portmail.Submitter  # loaded now

    def make(number: int) -> None:
        few.append(kind(**wishes(server, tls_ca=None, retry=None)))
        few[-1].send(letter(number))

    with _room_for(0):
        attempt(make, 100)
    attempt(make, 1)
    for mail in few:
        attempt(by_number(mail.send), 2 + few.index(mail) * 100)
        mail.close()


PROGRAMS = (no_threads, no_threads_warm, no_descriptors, no_descriptors_warm, no_descriptors_made)
