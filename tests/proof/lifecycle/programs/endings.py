"""How does a program end with a client? In handlers, in threads, never closed, taken apart."""

from __future__ import annotations

import asyncio
import atexit
import sys
import threading
import time

import portmail
from tests.proof.lifecycle.programs.clients import Client, Server, by_number, letter, wishes
from tests.proof.lifecycle.programs.making import made
from tests.proof.lifecycle.programs.words import attempt, attempt_async


def _keep(*things: object) -> None:
    """They live as long as the main module."""
    vars(sys.modules["__main__"])["kept"] = things


def at_exit(server: Server) -> None:
    """A handler sends; before that it was not used."""
    mail = made(server)
    atexit.register(attempt, mail.send, 1)


def at_exit_used(server: Server) -> None:
    """A handler sends; it was used before, and is not closed."""
    mail = made(server)
    attempt(mail.send, 1)
    atexit.register(attempt, mail.send, 2)


def at_exit_made(server: Server) -> None:
    """A handler makes one and sends twice."""

    def late() -> None:
        mail = made(server)
        attempt(mail.send, 1)
        attempt(mail.send, 2)
        mail.close()

    atexit.register(late)


def after_main(server: Server) -> None:
    """The main thread is over, another still sends."""
    mail = made(server)
    attempt(mail.send, 1)

    def late() -> None:
        threading.main_thread().join()
        attempt(mail.send, 2)

    threading.Thread(target=late).start()


def daemons(server: Server) -> None:
    """The program ends while daemon threads send as fast as they can."""
    mail = made(server)
    attempt(mail.send, 1)
    going = threading.Barrier(9)

    def forever(first: int) -> None:
        going.wait()
        for number in range(first, first + 1000):
            try:
                mail.send(number)
            except portmail.PortmailError:
                break

    for thread in range(8):
        threading.Thread(target=forever, args=(1000 * (thread + 1),), daemon=True).start()
    going.wait()
    time.sleep(0.1)


def daemon_stuck(server: Server) -> None:
    """The program ends while a daemon thread waits for a server that says nothing."""
    mail = made(server)
    threading.Thread(target=attempt, args=(mail.send, 1), daemon=True).start()
    time.sleep(0.5)


def never_closed(server: Server) -> None:
    """It is used, and left to its fate; so is one that was never used."""
    mail, unused = made(server), made(server)
    attempt(mail.send, 1)
    attempt(mail.send, 2)
    _keep(mail, unused)


def never_closed_async(server: Server) -> None:
    """The same in a loop."""
    mail = portmail.AsyncSubmitter(**wishes(server))
    asyncio.run(attempt_async(by_number(mail.send), 1))


class _Last:
    """Sends when it is forgotten."""

    def __init__(self, mail: Client) -> None:
        self._mail, self._attempt = mail, attempt

    def __del__(self) -> None:
        self._attempt(self._mail.send, 2)


def at_del(server: Server) -> None:
    """Something sends when the interpreter takes the modules apart."""
    mail = made(server)
    attempt(mail.send, 1)
    letter(2)
    _keep(_Last(mail))


def in_circle(server: Server) -> None:
    """It is part of a circle that nobody clears."""
    mail = made(server)
    attempt(mail.send, 1)
    circle: list[object] = [mail]
    circle.append(circle)
    _keep(circle)


PROGRAMS = (
    at_exit,
    at_exit_used,
    at_exit_made,
    after_main,
    daemons,
    daemon_stuck,
    never_closed,
    never_closed_async,
    at_del,
    in_circle,
)
