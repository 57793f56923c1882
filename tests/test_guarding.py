"""A fault of our own is told: by an error of ours, with how far the message got, and the connection ends."""

from __future__ import annotations

import asyncio
import logging

import pytest

import portmail
from portmail import Security
from portmail.crew import Crew
from portmail.job import Job
from portmail.pool import Pool
from portmail.waiting import Waiting
from tests.proof.harness.clients import Errand, letter, wishes
from tests.proof.harness.place import Place, Scene, on_a_jumping_clock
from tests.proof.harness.recorder import After, Behaviour, Say
from tests.proof.own_faults import Break, OwnFault


def send(broken: Break) -> tuple[BaseException | None, Scene]:
    """One message while this function fails; what `send` raised, and what the server saw."""

    async def work(place: Place) -> tuple[BaseException | None, Scene]:
        scene = place.show(Scene([Behaviour()]))
        errand = Errand([(place.ports[0], Security.STARTTLS)], letter())
        mail = portmail.AsyncSubmitter(**wishes(errand))  # type: ignore[arg-type]  # by their names
        error: BaseException | None = None
        with broken.made():
            try:
                await mail.send(letter())
            except portmail.PortmailError as exc:
                error = exc
        await place.settle()
        assert error is None or all(tape.over for tape in scene.tapes), "the connection is still there"
        await mail.aclose()
        return error, scene

    return on_a_jumping_clock(work)


BEFORE_THE_END = [
    Break("exchange", "Exchange", "begin", 1, late=False),
    Break("exchange", "Exchange", "_commit", 1, late=True),
    Break("transaction", "Transaction", "hear_recipient", 1, late=False),
    Break("pool", "Pool", "next", 1, late=True),
    Break("transports.watch", "Watch", "set", 1, late=False),
]


@pytest.mark.parametrize("broken", BEFORE_THE_END, ids=str)
def test_before_the_end_of_the_content_it_is_not_sent(broken: Break) -> None:
    error, scene = send(broken)
    assert type(error) is portmail.InternalError
    assert isinstance(error.__cause__, OwnFault)
    assert str(error).startswith("Not sent: portmail itself failed.\n  OwnFault:")
    assert "report it" in str(error)
    assert error.message_id == "<proof@example.org>"
    assert scene.record.stored == []


@pytest.mark.parametrize("late", [False, True])
def test_while_the_answer_is_awaited_it_is_in_doubt(late: bool) -> None:
    error, scene = send(Break("transaction", "Transaction", "hear_end", 1, late=late))
    assert type(error) is portmail.InDoubt
    assert isinstance(error.__cause__, OwnFault)
    assert len(scene.record.stored) == 1
    assert ("was accepted" in str(error)) is late


def test_a_fault_where_jobs_are_given_out_is_told_to_those_that_wait() -> None:
    async def work(place: Place) -> list[str]:
        place.show(Scene([Behaviour()]))
        errand = Errand([(place.ports[0], Security.STARTTLS)], letter())
        async with portmail.AsyncSubmitter(**wishes(errand)) as mail:  # type: ignore[arg-type]  # by their names
            with Break("pool", "Pool", "_grow", 3, late=False).made():
                sending = (mail.send(letter()) for _ in range(3))
                said = await asyncio.gather(*sending, return_exceptions=True)
        return [type(it).__name__ for it in said]

    assert on_a_jumping_clock(work) == ["InternalError"] * 3


class Always:
    """Replaces a function by one that always fails."""

    def __init__(self, owner: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise OwnFault(f"{name} is broken")

        monkeypatch.setattr(owner, name, fail)


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Job, "begin"), (Job, "may_take"), (Waiting, "first"), (Crew, "work"), (Crew, "join"), (Pool, "next")],
)
def test_what_always_fails_is_told_at_once_and_costs_one_connection(
    owner: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(place: Place) -> tuple[BaseException, Scene]:
        scene = place.show(Scene([Behaviour()]))
        errand = Errand([(place.ports[0], Security.STARTTLS)], letter())
        async with portmail.AsyncSubmitter(**wishes(errand)) as mail:  # type: ignore[arg-type]  # by their names
            with monkeypatch.context() as patches:
                Always(owner, name, patches)
                with pytest.raises(portmail.InternalError) as caught:
                    await mail.send(letter())
        await place.settle()
        return caught.value, scene

    error, scene = on_a_jumping_clock(work)
    assert isinstance(error.__cause__, OwnFault)
    assert [tape.over for tape in scene.tapes] == [True]
    assert scene.record.stored == []


def test_a_handler_of_the_log_that_fails_decides_nothing_about_the_mail(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError(f"the collector is down: {record.name}")

    handler = Broken()
    loggers = [logging.getLogger(name) for name in ("portmail", "portmail.dialogue")]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    loggers[0].addHandler(handler)
    try:
        error, scene = send(Break("pool", "Pool", "next", 99, late=False))
    finally:
        loggers[0].removeHandler(handler)
        for logger in loggers:
            logger.setLevel(logging.NOTSET)
    assert error is None
    assert len(scene.record.stored) == 1
    assert "the collector is down" in capsys.readouterr().err


@pytest.mark.parametrize(
    "ending",
    [Say(b"", After.CLOSE), pytest.param(Say(b"", After.SILENCE), marks=pytest.mark.long)],
    ids=["closed", "silent"],
)
def test_whoever_cancels_in_any_turn_is_never_told_not_sent_of_what_was_committed(ending: Say) -> None:
    async def work(place: Place) -> list[tuple[bool, str]]:
        seen = []
        for turn in range(15, 50):
            scene = place.show(Scene([Behaviour().saying(BDAT=ending)]))
            errand = Errand([(place.ports[0], Security.STARTTLS)], letter(), seconds=5)
            async with portmail.AsyncSubmitter(**wishes(errand)) as mail:  # type: ignore[arg-type]
                sending = asyncio.ensure_future(mail.send(letter()))
                for _ in range(turn):
                    await asyncio.sleep(0)
                sending.cancel()
                with pytest.raises((asyncio.CancelledError, portmail.InDoubt)) as caught:
                    await sending
            await place.settle()
            said = " ".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
            seen.append((scene.record.ends > 0, said))
        return seen

    seen = on_a_jumping_clock(work)
    assert {committed for committed, _ in seen} == {False, True}
    assert [said for committed, said in seen if committed and "n doubt" not in said] == []
