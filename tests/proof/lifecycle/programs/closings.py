"""How does a program close a client, or forget to? While others send, a thousand times, from within."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import portmail
from tests.proof.lifecycle.programs.clients import PASSWORD, Server, by_number, wishes
from tests.proof.lifecycle.programs.making import made
from tests.proof.lifecycle.programs.words import attempt, attempt_async, complain, nothing_left


def idle(server: Server) -> None:
    """The server closes the connection behind each message, and is used again, at once and later."""
    mail = made(server)
    for number in range(1, 21):
        attempt(mail.send, number)
        time.sleep(0 if number % 2 else 0.01)
    mail.close()


def closing(server: Server) -> None:
    """Closed unused, twice, from another thread, while it is used; and used again."""
    mail = made(server)
    with nothing_left():
        mail.close()
        mail.close()
        attempt(mail.send, 1)
        other = threading.Thread(target=mail.close)
        other.start()
        other.join()
        attempt(mail.send, 2)
        mail.close()
        mail.close()
        with ThreadPoolExecutor(8) as pool:
            going = [pool.submit(attempt, mail.send, number) for number in range(100, 140)]
            for _ in range(5):
                mail.close()
            for future in going:
                future.result()
        attempt(mail.send, 3)
        mail.close()


def closing_itself(server: Server) -> None:
    """The callable for the password closes the submitter that asks it."""

    def fetch() -> str:
        mail.close()
        return PASSWORD

    mail = portmail.Submitter(**wishes(server, password=fetch, retry=None))
    attempt(by_number(mail.send), 100)


def forgotten(server: Server) -> None:
    """Used and forgotten, without close, many times."""
    attempt(made(server).send, 1)
    with nothing_left():
        for number in range(2, 22):
            attempt(made(server).send, number)
        gc.collect()


def thousand(server: Server) -> None:
    """A thousand, of which some are used."""
    warm = made(server)
    attempt(warm.send, 1)
    warm.close()
    with nothing_left():
        many = [made(server) for _ in range(1000)]
        for number, mail in enumerate(many[::10], 2):
            attempt(mail.send, number)
            if number % 2:
                many[number * 3].close()
        for mail in many:
            mail.close()


def thousand_async(server: Server) -> None:
    """The same in a loop: no task of theirs is left."""

    async def scenario() -> None:
        many = [portmail.AsyncSubmitter(**wishes(server)) for _ in range(1000)]
        for number, mail in enumerate(many[::10], 1):
            await attempt_async(by_number(mail.send), number)
        for mail in many:
            await mail.aclose()
            await mail.aclose()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            complain(f"{len(left)} tasks are left")

    with nothing_left():
        asyncio.run(scenario())


PROGRAMS = (idle, closing, closing_itself, forgotten, thousand, thousand_async)
