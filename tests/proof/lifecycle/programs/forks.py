"""What does a program do with a client and other processes? Forked, spawned, served, in pools."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import portmail
from tests.proof.lifecycle.programs.clients import Client, Portmail, Server, letter, wishes
from tests.proof.lifecycle.programs.making import made
from tests.proof.lifecycle.programs.words import attempt, complain, refused


def in_child(work: Callable[[], object]) -> int:
    """Fork; the child does it, and ends as a program does."""
    pid = os.fork()
    if pid:
        return pid
    work()
    sys.exit(0)


def reap(*pids: int) -> None:
    """Wait for children, which must end well."""
    for pid in pids:
        _, status = os.waitpid(pid, 0)
        if status:
            complain(f"a child ended with status {status}")


def fork_before(server: Server) -> None:
    """Made before fork, used after it by both."""
    mail = made(server)
    child = in_child(lambda: attempt(mail.send, 1))
    attempt(mail.send, 2)
    reap(child)
    attempt(mail.send, 3)
    mail.close()


def fork_after(server: Server) -> None:
    """Used before fork and after it, by both, at the same time; the child closes it."""
    mail = made(server)
    attempt(mail.send, 1)

    def in_the_child() -> None:
        attempt(mail.send, 2)
        attempt(mail.send, 3)
        mail.close()

    child = in_child(in_the_child)
    attempt(mail.send, 4)
    reap(child)
    attempt(mail.send, 5)
    mail.close()


def fork_unused(server: Server) -> None:
    """The children do not use it: one ends, one closes it, one forgets it and has its own."""
    mail: Client | None = made(server)
    assert mail is not None
    attempt(mail.send, 1)
    reap(in_child(lambda: None), in_child(mail.close))
    pid = os.fork()
    if not pid:
        mail = None
        gc.collect()
        other = made(server)
        attempt(other.send, 2)
        sys.exit(0)
    reap(pid)
    attempt(mail.send, 3)
    mail.close()


def fork_amid(server: Server) -> None:
    """Children are born while eight threads send. What peers import late is no fault of theirs."""
    mail = made(server)
    if not isinstance(mail, Portmail):
        attempt(mail.send, 45)
    with ThreadPoolExecutor(8) as pool:
        going = [pool.submit(attempt, mail.send, number) for number in range(1, 41)]
        children = [in_child(lambda number=number: _leave(mail, number)) for number in range(41, 45)]  # type: ignore[misc]  # a default is bound now
        reap(*children)
        for future in going:
            future.result()
    mail.close()


def _leave(mail: Client, number: int) -> None:
    attempt(mail.send, number)
    mail.close()
    os._exit(0)  # the pool's threads are the parent's


def fork_grandchild(server: Server) -> None:
    """A child of a child, each uses it."""
    mail = made(server)
    attempt(mail.send, 1)

    def in_the_child() -> None:
        attempt(mail.send, 2)
        reap(in_child(lambda: attempt(mail.send, 3)))
        attempt(mail.send, 4)

    reap(in_child(in_the_child))
    attempt(mail.send, 5)


def _own(server: Server, number: int) -> None:
    mail = made(server)
    attempt(mail.send, number)
    mail.close()


def _processes(kind: str, targets: Iterable[Callable[[], None]]) -> None:
    context = multiprocessing.get_context(kind)
    processes = [context.Process(target=target) for target in targets]  # type: ignore[attr-defined]  # it has one
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            complain(f"a process ended with {process.exitcode}")


def mp_fork(server: Server) -> None:
    """A submitter of the parent's in the processes that it forks."""
    mail = made(server)
    attempt(mail.send, 1)
    _processes("fork", [partial(attempt, mail.send, number) for number in (2, 3)])
    attempt(mail.send, 4)


def mp_spawn(server: Server) -> None:
    """It cannot go along: that is told; and one of the process's own works."""
    _elsewhere("spawn", server)


def mp_forkserver(server: Server) -> None:
    """It cannot go along: that is told; and one of the process's own works."""
    _elsewhere("forkserver", server)


def _elsewhere(kind: str, server: Server) -> None:
    mail = made(server)
    attempt(mail.send, 1)
    if isinstance(mail, Portmail):
        fork = multiprocessing.get_context(kind)
        for thing in (
            mail.mail,
            portmail.Submitter(**wishes(server)),
            portmail.AsyncSubmitter(**wishes(server)),
        ):
            process = fork.Process(target=print, args=(thing,))  # type: ignore[attr-defined]  # it has one
            refused(process.start, text="in each process")
    _processes(kind, [partial(_own, server, number) for number in (2, 3)])
    attempt(mail.send, 4)


_INHERITED: list[Client] = []


def _by_inherited(number: int) -> None:
    attempt(_INHERITED[0].send, number)


def executor(server: Server) -> None:
    """A pool of processes that inherit it, and one to which it is given."""
    _INHERITED.append(made(server))
    attempt(_INHERITED[0].send, 1)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        list(pool.map(_by_inherited, range(2, 8)))
        mail = _INHERITED[0]
        if isinstance(mail, Portmail):
            future = pool.submit(mail.mail.send, letter(99))
            refused(future.result, text="in each process")
    attempt(_INHERITED[0].send, 8)


PROGRAMS = (
    fork_before,
    fork_after,
    fork_unused,
    fork_amid,
    fork_grandchild,
    mp_fork,
    mp_spawn,
    mp_forkserver,
    executor,
)
