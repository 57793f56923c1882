"""What does a program do with a client, threads, loops and greenlets?"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import portmail
from tests.proof.lifecycle.programs.clients import PASSWORD, Client, Server, by_number, letter, wishes
from tests.proof.lifecycle.programs.forks import reap
from tests.proof.lifecycle.programs.making import made
from tests.proof.lifecycle.programs.words import (
    attempt,
    attempt_async,
    blocking_attempt,
    complain,
    nothing_left,
    refused,
)


def threads_32(server: Server) -> None:
    """Many threads, one client."""
    mail = made(server)
    with nothing_left(), ThreadPoolExecutor(32) as pool:
        list(pool.map(partial(attempt, mail.send), range(1, 97)))
        mail.close()


def running_loop(server: Server) -> None:
    """In a coroutine, in a thread of a loop, in a callback, and within what it is itself asked by."""
    mail = made(server)

    async def cell() -> None:
        attempt(mail.send, 1)
        await asyncio.to_thread(attempt, mail.send, 2)
        over = asyncio.Event()

        def callback() -> None:
            attempt(mail.send, 3)
            over.set()

        asyncio.get_running_loop().call_soon(callback)
        await over.wait()

    asyncio.run(cell())
    asyncio.run(_again(mail), debug=True)
    mail.close()


async def _again(mail: Client) -> None:
    """In another loop, a nested one."""

    def inner() -> None:
        asyncio.run(blocking_attempt(mail.send, 4))

    await asyncio.to_thread(inner)


def nested(server: Server) -> None:
    """A submitter whose password another submitter's send gives."""
    other = portmail.Submitter(**wishes(server))

    def fetch() -> str:
        attempt(by_number(other.send), 1)
        return PASSWORD

    with portmail.Submitter(**wishes(server, password=fetch)) as mail:
        attempt(by_number(mail.send), 2)

    def itself() -> str:
        refused(lambda: mine.send(letter(99)), text="use another one")
        return PASSWORD

    with portmail.Submitter(**wishes(server, password=itself)) as mine:
        attempt(by_number(mine.send), 3)
    other.close()


def two_loops(server: Server) -> None:
    """An `AsyncSubmitter` in one loop after another, and in many at the same time; nobody closes it."""
    mail = portmail.AsyncSubmitter(**wishes(server))

    async def some(numbers: Iterable[int]) -> None:
        async with asyncio.TaskGroup() as group:
            for number in numbers:
                group.create_task(attempt_async(by_number(mail.send), number))

    def loop_of_its_own(first: int) -> None:
        asyncio.run(some(range(first, first + 3)))

    with nothing_left():
        loop_of_its_own(1)
        loop_of_its_own(4)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(loop_of_its_own, range(7, 31, 3)))


def greenlets(server: Server) -> None:
    """Two clients in a program in which gevent made greenlets of all threads; others go on meanwhile."""
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            time.sleep(0.001)

    one, other = made(server), made(server)
    attempt(one.send, 1)
    threading.Thread(target=tick, daemon=True).start()
    with nothing_left():
        attempt(other.send, 2)
        sending = [
            threading.Thread(target=attempt, args=((one, other)[number % 2].send, number))
            for number in range(3, 33)
        ]
        before = ticks
        for thread in sending:
            thread.start()
        for thread in sending:
            thread.join()
        if ticks == before:
            complain("nobody else went on")
        one.close()
        other.close()
        for number in range(33, 63):
            mail = made(server)
            attempt(mail.send, number)
            mail.close()
    attempt(one.send, 63)
    if not (pid := os.fork()):
        attempt(one.send, 64)
        os._exit(0)
    reap(pid)
    attempt(one.send, 65)
    atexit.register(attempt, one.send, 66)


PROGRAMS = (threads_32, running_loop, nested, two_loops, greenlets)
