"""What is a program told that is interrupted while it submits?"""

from __future__ import annotations

import os
import signal
import sys
import time

from tests.proof.lifecycle.programs.clients import Client, Portmail, Server
from tests.proof.lifecycle.programs.making import made
from tests.proof.lifecycle.programs.words import attempt, nothing_left, say, words

WARMING = 100_000
"""What is added to the number of a message for the one that warms its connection."""


def interrupted(server: Server) -> None:
    """For each line on standard input, send once more, and say what was told of that.

    The line has a number and says how: with a new connection or a warm one, and whether to wait for
    an interrupt. A second line says when.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    mail = made(server)
    attempt(mail.send, 99)
    mail.close()
    with nothing_left():
        for line in iter(sys.stdin.readline, ""):
            if not line.strip():  # the word for one that was interrupted before it came
                continue
            number, connection, wait = line.split()
            if connection == "cold":
                mail.close()
                mail = made(server)
            else:
                attempt(mail.send, int(number) + WARMING)
            if wait == "wait":
                _interrupted(mail, int(number))
            else:
                _await_the_word()
                attempt(mail.send, int(number))
        mail.close()


def _await_the_word() -> None:
    say(ready=os.getpid())
    sys.stdin.readline()


def _interrupted(mail: Client, number: int) -> None:
    outcome: BaseException | None = None
    returned = False
    try:
        try:
            _await_the_word()  # the server may still hear the end of the connection before, and interrupt
            mail.send(number)
            returned = True
        except Exception as exc:  # noqa: BLE001  # whatever it is, it is judged
            outcome = exc
        time.sleep(5 if type(mail) is Portmail else 0.5)  # the signal may be on its way
    except KeyboardInterrupt as exc:
        facts = {"said": "sent"} if returned else words(outcome) if outcome else {"said": ""}
        say(number=number, **facts, interrupted=True, notes=list(getattr(exc, "__notes__", [])))
        return
    say(number=number, **words(outcome), interrupted=False, notes=[])


def interrupted_once(server: Server) -> None:
    """Nobody catches it: the program must end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    mail = made(server)
    say(ready=os.getpid())
    mail.send(1)


PROGRAMS = (interrupted, interrupted_once)
