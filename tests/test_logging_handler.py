"""What is logged reaches people in few mails, and the program never waits for one."""

from __future__ import annotations

import json
import logging
import logging.config
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any, NoReturn

import pytest

import portmail
from portmail.integrations.logging import MailHandler
from portmail.integrations.logging import digest as policy
from portmail.integrations.logging.digest import (
    DOUBTFUL,
    HOUR,
    PAUSE,
    TOGETHER,
    UNSENT,
    Digest,
    Gathering,
    Kind,
    Limits,
)
from portmail.integrations.logging.ending import ENDING, Ending
from portmail.integrations.logging.mailer import Mailer
from portmail.integrations.logging.posting import Post
from portmail.sandbox import Sandbox
from tests.leaks import PASSWORD, Scanner
from tests.servers.dialogue import play
from tests.servers.requirements import require

OPS, WEB = "ops@example.org", "web1@example.com"
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """What a test leaves behind is not mailed when pytest ends."""
    yield
    ENDING.forget()


def kind(text: str = "Disk full", *, level: int = logging.ERROR, at: float = 0) -> Kind:
    return Kind(text, text, level, logging.getLevelName(level), first=at, last=at)


def gathering(**limits: Any) -> Gathering:
    return Gathering(Limits(**limits))


def keep(gathered: Gathering, *texts: str, now: float = 0) -> None:
    for text in texts:
        gathered.keep(text, kind=kind(text), now=now)


def taken(gathered: Gathering, *, now: float, **wish: bool) -> Digest:
    digest = gathered.take(now=now, **wish)
    assert digest is not None
    return digest


def test_the_first_record_waits_a_moment_for_those_that_come_with_it() -> None:
    gathered = gathering()
    assert gathered.due(now=100) is None
    keep(gathered, "one", now=100)
    keep(gathered, "two", now=100.5)
    assert gathered.due(now=100.5) == pytest.approx(TOGETHER - 0.5)
    assert gathered.take(now=100.5) is None
    assert list(taken(gathered, now=100 + TOGETHER).kinds) == ["one", "two"]
    assert gathered.due(now=102) is None


def test_after_a_mail_the_next_one_waits_for_the_interval() -> None:
    gathered = gathering(flush_interval=60)
    keep(gathered, "one", now=0)
    taken(gathered, now=5)
    gathered.went(now=5)
    keep(gathered, "two", now=10)
    assert gathered.due(now=10) == 55
    assert gathered.take(now=64) is None
    assert taken(gathered, now=65).records == 1


def test_who_asks_does_not_wait_for_the_interval() -> None:
    gathered = gathering(flush_interval=60)
    gathered.went(now=0)
    keep(gathered, "one", now=1)
    assert gathered.take(now=1) is None
    assert taken(gathered, now=1, wanted=True).records == 1


def test_records_that_are_alike_are_one_text_with_a_count() -> None:
    gathered = gathering(capacity=1)
    keep(gathered, "full", now=0)
    assert all(gathered.count("full", created=second) for second in range(1, 1_000))
    digest = taken(gathered, now=2)
    [only] = digest.kinds.values()
    assert (digest.records, only.count, only.last) == (1_000, 1_000, 999)
    assert "Disk full" not in str(only)
    assert "[999 more like this until " in digest.body(origin="shop")
    assert "1,000 records of shop" in digest.body(origin="shop")


def test_what_finds_no_room_is_counted_and_told_in_the_next_mail() -> None:
    gathered = gathering(capacity=3)
    keep(gathered, *(f"text {number}" for number in range(45)))
    assert gathered.records == 45
    digest = taken(gathered, now=2)
    assert list(digest.kinds) == ["text 0", "text 1", "text 2"]
    assert "42 more suppressed" in digest.body(origin="shop")
    keep(gathered, "later", now=3)
    assert "suppressed" not in taken(gathered, now=3, wanted=True).body(origin="shop")


def test_over_the_limit_of_an_hour_no_mail_goes_and_the_next_one_tells_how_many_were_suppressed() -> None:
    gathered = gathering(capacity=1, flush_interval=0, max_per_hour=2)
    for now in (0.0, 100.0):
        keep(gathered, "one", now=now)
        taken(gathered, now=now + TOGETHER)
        gathered.went(now=now + TOGETHER)
    keep(gathered, "kept", *map(str, range(42)), now=200)
    assert gathered.due(now=200) == pytest.approx(HOUR + TOGETHER - 200)
    assert gathered.take(now=HOUR, wanted=True) is None
    digest = taken(gathered, now=HOUR + TOGETHER)
    assert "42 more suppressed" in digest.body(origin="shop")
    gathered.went(now=HOUR + TOGETHER)
    keep(gathered, "next", now=HOUR + 2)
    assert gathered.due(now=HOUR + 2) == pytest.approx(99)


def test_the_last_mail_of_a_program_goes_over_the_limit() -> None:
    gathered = gathering(max_per_hour=1)
    gathered.went(now=0)
    keep(gathered, "last words", now=1)
    assert gathered.take(now=1, wanted=True) is None
    assert taken(gathered, now=1, wanted=True, last=True).records == 1


def test_what_was_not_sent_goes_with_the_next_mail_within_the_same_bounds() -> None:
    gathered = gathering(capacity=3, flush_interval=1)
    keep(gathered, "a", "b", now=0)
    failed = taken(gathered, now=1)
    keep(gathered, "b", "c", "d", now=2)
    gathered.count("d", created=3)
    gathered.again(failed, now=2)
    assert gathered.due(now=2) == PAUSE
    digest = taken(gathered, now=2 + PAUSE)
    assert {key: it.count for key, it in digest.kinds.items()} == {"a": 1, "b": 2, "c": 1}
    assert digest.counted == {policy.SUPPRESSED: 2}


def test_it_is_not_tried_again_before_the_server_wants_it() -> None:
    gathered = gathering(flush_interval=90)
    keep(gathered, "a")
    gathered.again(taken(gathered, now=1), now=1, after=300)
    assert gathered.due(now=1) == 300
    gathered.again(taken(gathered, now=400), now=400)
    assert gathered.due(now=400) == 90


@pytest.mark.parametrize(
    ("how", "words"), [(UNSENT, "5 records before these are lost"), (DOUBTFUL, "5 records before these may")]
)
def test_the_next_mail_tells_what_was_lost(how: str, words: str) -> None:
    gathered = gathering(capacity=2)
    keep(gathered, *"abcde", now=0)
    gathered.lost(taken(gathered, now=1), now=1, how=how)
    assert (gathered.due(now=100), gathered.records) == (None, 0)
    keep(gathered, "f", now=200)
    body = taken(gathered, now=300).body(origin="shop")
    assert words in body
    assert "suppressed" not in body


def test_a_subject_tells_of_one_record_or_of_how_many_and_the_worst() -> None:
    template = "[shop on {host}] {levelname}: {first_line}"
    one = Digest({"a": kind("Disk full")})
    assert one.subject(template, host="web1") == "[shop on web1] ERROR: Disk full"
    many = Digest({"a": kind("Disk full"), "b": kind("Bank lost", level=50), "c": kind("Late", level=30)})
    assert many.subject(template, host="web1") == "[shop on web1] 3 records, worst CRITICAL: Bank lost"


@pytest.mark.parametrize(
    "text",
    [
        "Full\r\nBcc: eve@example.org",
        "\r\n \r\nFull\n.\nBcc: eve@example.org",
        "Full\x0bBcc: eve@example.org",
        "Full\u2028Bcc: eve@example.org",
        "Full =?utf-8?q?=0D=0ABcc:_eve@example.org?=",
        "Full \udcff\ud800 half",
        "Full \0 NUL \x1b[31m",
        "Full " + "x" * 10_000,
        "Full " + "ü" * 500,
    ],
    ids=["crlf", "lines", "tab", "separator", "word", "half", "control", "long", "longer"],
)
def test_no_record_can_write_a_header(text: str, sandbox: Sandbox) -> None:
    handler = mailing(sandbox)
    handler.handle(record(text))
    handler.flush()
    [received] = sandbox.messages
    assert received.recipients == (OPS,)
    names = [name.lower() for name in received.message]
    assert sorted(names) == sorted({*names})
    assert "bcc" not in names
    subject = received.message["Subject"]
    assert subject.startswith("ERROR: Full")
    assert subject.isprintable()
    assert len(subject) < 140
    assert "Full" in received.message.get_content()


def test_a_long_mail_is_cut_with_a_count_and_a_long_record_in_its_middle() -> None:
    texts: dict[Hashable, Kind] = {number: kind(f"{number} " + "x" * 9_000) for number in range(50)}
    body = Digest(texts).body(origin="shop")
    assert len(body) < policy.LONGEST_BODY + 1_000
    assert "39 more kinds of records are left out" in body
    short = policy.shortened("begin" + "x" * 1_000_000 + "end")
    assert short.startswith("begin")
    assert short.endswith("end")
    assert "[990,008 characters left out]" in short


@pytest.mark.parametrize(
    "wish",
    [
        {"to": "no address"},
        {"to": []},
        {"to": OPS + "\nBcc: eve@example.org"},
        {"sender": "nobody"},
        {"sender": None},
        {"url": "gopher://mail.example.org"},
        {"url": "submission://me:p@ss@mail.example.org"},
        {"url": "submission://me:secret@mail.example.org?ca=/nowhere.pem"},
        {"submitter": "mail"},
        {"subject": "{nobody}"},
        {"subject": "{}"},
        {"subject": "{first_line.nothing}"},
        {"subject": "{"},
        {"subject": 7},
        {"level": "LOUD"},
        {"level": 1.5},
        {"capacity": 0},
        {"capacity": True},
        {"flush_interval": -1},
        {"flush_interval": "60"},
        {"flush_interval": float("nan")},
        {"max_per_hour": 0},
        {"deadline": float("inf")},
    ],
    ids=str,
)
def test_a_wrong_wish_is_told_at_once(wish: dict[str, Any]) -> None:
    wishes: dict[str, Any] = {"to": OPS, "sender": WEB, "url": "relay://mail.example.org"} | wish
    with pytest.raises((portmail.ConfigurationError, portmail.AddressError)):
        MailHandler(**wishes)


def test_without_a_server_it_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORTMAIL_URL", raising=False)
    with pytest.raises(portmail.DiscoveryError):
        MailHandler(to=OPS, sender=WEB)


def url(sandbox: Sandbox) -> str:
    return f"{sandbox.url}?ca={sandbox.ca}"


def mailing(sandbox: Sandbox, **wishes: Any) -> MailHandler:
    return MailHandler(**{"to": OPS, "sender": WEB, "url": url(sandbox), "deadline": 20, **wishes})


def record(
    text: object = "Disk full", *args: object, level: int = logging.ERROR, **more: Any
) -> logging.LogRecord:
    return logging.LogRecord("shop", level, __file__, 1, text, args, more.pop("exc_info", None), **more)


@contextmanager
def logger(handler: logging.Handler) -> Iterator[logging.Logger]:
    """A logger with this handler alone."""
    log = logging.Logger("shop", level=logging.DEBUG)  # noqa: LOG001  # forgotten after the test
    log.addHandler(handler)
    yield log
    handler.close()


def body(sandbox: Sandbox, number: int = 0) -> str:
    content: str = sandbox.messages[number].message.get_content()
    return content.replace("\r\n", "\n")


def test_a_burst_of_a_thousand_records_is_one_mail(sandbox: Sandbox) -> None:
    with logger(mailing(sandbox)) as log:
        for number in range(1_000):
            log.error("order %d was not charged", number)
        log.critical("giving up")
    [received] = sandbox.messages
    assert received.message["Subject"] == "1,001 records, worst CRITICAL: giving up"
    assert received.message["Auto-Submitted"] == "auto-generated"
    assert received.message["Message-ID"].endswith("@example.com>")
    assert (received.message["From"], received.message["To"]) == (WEB, OPS)
    assert received.message.get_content_type() == "text/plain"
    text = body(sandbox)
    assert "order 0 was not charged\n[999 more like this until " in text
    assert f"process {os.getpid()}" in text
    assert len(sandbox.sessions) == 1


def test_a_mail_goes_by_itself_and_the_thread_ends(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "TOGETHER", 0.0)
    handler = mailing(sandbox, flush_interval=0)
    for number in range(2):
        handler.handle(record(f"text {number}"))
        arrived(sandbox, number + 1)
        until = time.monotonic() + 10
        while ENDING._holders:  # until the thread has nothing to do
            assert time.monotonic() < until
            time.sleep(0.005)
    assert [received.message["Subject"] for received in sandbox.messages] == [
        "ERROR: text 0",
        "ERROR: text 1",
    ]


def arrived(sandbox: Sandbox, count: int) -> None:
    """Wait until so many mails are there."""
    until = time.monotonic() + 10
    while len(sandbox.messages) < count:
        assert time.monotonic() < until
        time.sleep(0.005)


def test_records_differ_by_level_line_template_and_the_place_of_the_exception(sandbox: Sandbox) -> None:
    def fail(how: type[Exception]) -> None:
        try:
            raise how("no")
        except how:
            log.exception("job failed")

    with logger(mailing(sandbox)) as log:
        for how in (ValueError, KeyError, ValueError):
            fail(how)
        for text in ("same line", "another template", "same line"):
            log.log(logging.ERROR, text)
        for level in (logging.ERROR, logging.CRITICAL):
            log.log(level, "same text")
        for error in (ValueError("this"), ValueError("that"), ValueError("this")):
            log.error(error)
    text = body(sandbox)
    assert text.count("[1 more like this until ") == 3
    assert text.count("job failed") == text.count("Traceback (most recent call last)") == 2
    assert text.count("same text") == 2
    assert sandbox.messages[0].message["Subject"].startswith("11 records")


def test_what_is_logged_is_told_as_it_was_then_with_exception_and_stack(sandbox: Sandbox) -> None:
    with logger(mailing(sandbox)) as log:
        basket = ["apple"]
        log.error("basket: %s, unpicklable: %s", basket, threading.Lock(), stack_info=True)
        basket.append("pear")
    text = body(sandbox)
    assert "basket: ['apple'], unpicklable: <unlocked" in text
    assert "Stack (most recent call last)" in text


def test_the_programs_own_formatter_is_used(sandbox: Sandbox) -> None:
    handler = mailing(sandbox)
    handler.setFormatter(logging.Formatter("%(name)s said: %(message)s"))
    with logger(handler) as log:
        log.error("no")
    assert body(sandbox).startswith("shop said: no\n")


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


@pytest.mark.parametrize("text", ["%d and %s", Unspeakable()], ids=["arguments", "message"])
def test_what_cannot_be_put_into_words_is_mailed_all_the_same(
    text: object, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    with logger(mailing(sandbox)) as log:
        log.error(text, Unspeakable())
    assert "[it cannot be put into words: " in body(sandbox)
    assert capsys.readouterr().err.startswith("--- Logging error ---")


def fail(*_: object, **__: object) -> NoReturn:
    raise MemoryError


def test_nothing_raised_by_a_record_reaches_the_program(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = mailing(sandbox)
    monkeypatch.setattr(handler, "handleError", fail)
    monkeypatch.setattr(Post, "keep", fail)
    handler.handle(record())
    handler.addFilter(fail)
    assert handler.handle(record()) is False


def test_a_filter_that_fails_is_told(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    with logger(mailing(sandbox)) as log:
        log.handlers[0].addFilter(fail)
        log.error("one")
    told = capsys.readouterr().err
    assert told.startswith("--- Logging error ---")
    assert "MemoryError" in told
    assert "Message: 'one'" in told


def test_a_record_that_was_made_of_a_mapping_needs_no_name(sandbox: Sandbox) -> None:
    handler = mailing(sandbox)
    handler.handle(
        logging.makeLogRecord({"levelno": logging.ERROR, "levelname": "ERROR", "msg": "Disk full"})
    )
    handler.close()
    assert sandbox.messages[0].message["Subject"] == "ERROR: Disk full"


def test_over_the_limit_of_an_hour_the_next_mail_tells_how_many_found_no_room(sandbox: Sandbox) -> None:
    handler = mailing(sandbox, max_per_hour=1, flush_interval=0, capacity=2)
    handler.handle(record("first"))
    handler.flush()
    for number in range(5):
        handler.handle(record(f"text {number}"))
    handler.flush()
    assert len(sandbox.messages) == 1
    handler.close()
    assert [received.message["Subject"] for received in sandbox.messages] == [
        "ERROR: first",
        "2 records, worst ERROR: text 0",
    ]
    assert "3 more suppressed: there was no room for them." in body(sandbox, 1)


def test_threads_share_it_and_nothing_is_lost(sandbox: Sandbox) -> None:
    with logger(mailing(sandbox)) as log, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: log.error("text %d", number), range(800)))
    assert "[799 more like this until " in body(sandbox)


def test_while_a_record_is_kept_another_one_may_come_from_a_signal_handler(sandbox: Sandbox) -> None:
    handler = mailing(sandbox)
    handler.handle(record("first"))
    with handler._post().stock.lock:  # where a signal or a finalizer may interrupt
        handler.handle(record("amid"))
    handler.flush()
    assert sandbox.messages[0].message["Subject"].startswith("2 records")


def test_a_server_that_hangs_holds_nobody_up() -> None:
    with play("SILENCE") as player:
        handler = MailHandler(
            to=OPS, sender=WEB, url=f"relay://127.0.0.1:{player.port}?tls=none", deadline=0.1, capacity=7
        )
        began = time.monotonic()
        handler.handle(record("first"))
        handler.flush()
        for number in range(1_000):
            handler.handle(record(f"text {number}"))
        post = handler._post()
        assert post.stock._gathering.records == 1_000
        assert len(post.stock._gathering._kinds) == 7
        post._mailer.give_up()
        handler.close()
        assert time.monotonic() - began < 5


def test_logging_does_not_wait_for_the_lock_that_is_held_while_the_last_mail_goes(sandbox: Sandbox) -> None:
    handler = mailing(sandbox)
    handler.acquire()
    try:
        thread = threading.Thread(target=handler.handle, args=(record(),), daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
    finally:
        handler.release()
    handler.close()
    assert len(sandbox.messages) == 1


def account(sandbox: Sandbox) -> portmail.Submitter:
    return portmail.Submitter.from_url(sandbox.url, tls_ca=sandbox.ca, retry=None)


def test_records_of_a_mail_that_failed_for_now_go_with_the_next(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.reject(OPS, code=450, text="4.2.1 mailbox busy")
    handler = mailing(sandbox, url=None, submitter=account(sandbox))
    handler.handle(record("first"))
    handler.flush()
    assert handler._post().stock.records == 1
    sandbox.behave()
    handler.handle(record("second"))
    handler.flush()
    [received] = sandbox.messages
    assert received.message["Subject"] == "2 records, worst ERROR: first"
    handler.close()
    assert capsys.readouterr().err == ""


def test_what_could_not_be_mailed_is_told_at_the_end_without_another_try(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.reject(OPS, code=450, text="4.2.1 mailbox busy")
    handler = mailing(sandbox, url=None, submitter=account(sandbox))
    handler.handle(record())
    handler.flush()
    tries = sum(session.commands.count(f"RCPT TO:<{OPS}>") for session in sandbox.sessions)
    handler.close()
    assert sum(session.commands.count(f"RCPT TO:<{OPS}>") for session in sandbox.sessions) == tries
    assert capsys.readouterr().err == "portmail: 1 log record was not mailed\n"
    sandbox.behave()
    handler.handle(record())  # it opens again
    handler.flush()
    assert sandbox.messages[0].message["Subject"] == "2 records, worst ERROR: Disk full"
    sandbox.reject(OPS, code=450, text="4.2.1 mailbox busy")
    handler.handle(record())
    ENDING.begin()
    tries = sum(session.commands.count(f"RCPT TO:<{OPS}>") for session in sandbox.sessions)
    handler.flush()  # as `logging` does at the very end
    handler.close()
    assert sum(session.commands.count(f"RCPT TO:<{OPS}>") for session in sandbox.sessions) == tries
    assert capsys.readouterr().err == "portmail: 1 log record was not mailed\n"


def test_what_is_refused_for_good_is_told_once_and_counted(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.reject(OPS)
    handler = mailing(sandbox, url=None, submitter=account(sandbox))
    for _ in range(2):
        handler.handle(record("first"))
        handler.flush()
    err = capsys.readouterr().err
    assert err.startswith("portmail: log records cannot be mailed: Not sent: the server refused")
    assert err.count("\n") == 1
    sandbox.behave()
    handler.handle(record("second"))
    handler.close()
    [received] = sandbox.messages
    assert received.message["Subject"] == "ERROR: second"
    assert "2 records before these are lost" in body(sandbox)


def test_what_is_in_doubt_is_never_sent_again(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    sandbox.drop_after_dot(times=1)
    handler = mailing(sandbox)
    handler.handle(record("first"))
    handler.flush()
    handler.handle(record("second"))
    handler.flush()
    assert [received.message["Subject"] for received in sandbox.messages] == ["ERROR: first", "ERROR: second"]
    assert "1 records before these may have arrived, or not" in body(sandbox, 1)
    assert capsys.readouterr().err == ""


def test_when_the_program_ends_all_hurry_before_any_is_waited_for() -> None:
    class Holder:
        def hurry(self) -> None:
            said.append("hurry")

        def finish(self) -> None:
            said.append("finish")
            assert ending.left(0) == 0

    said: list[str] = []
    ending = Ending()
    gone = Holder()
    for holder in (gone, Holder(), Holder()):
        ending.wait_for(holder)
    ending.let_go(gone)
    assert ending.left(0) > 1e9
    ending.begin()
    assert said == ["hurry", "hurry", "finish", "finish"]


def test_a_mail_that_does_not_even_end_when_it_is_given_up_is_in_doubt(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun, released = threading.Event(), threading.Event()

    def stuck(*_: object, **__: object) -> NoReturn:
        begun.set()
        released.wait(20)
        raise portmail.InDoubt("lost")

    monkeypatch.setattr("portmail.integrations.logging.posting._LEAVE", 0)
    monkeypatch.setattr(Mailer, "send", stuck)
    handler = mailing(sandbox, deadline=0)
    for text in ("first", "second"):
        handler.handle(record(text))
    handler.flush()
    assert begun.wait(20)
    handler.handle(record("third"))
    ENDING.begin()
    handler.close()
    told = "portmail: 1 log record was not mailed\nportmail: 2 log records may have been mailed, or not\n"
    assert capsys.readouterr().err == told
    released.set()
    thread = handler._post()._thread
    assert thread is not None
    thread.join(20)


def test_where_no_thread_can_be_started_the_deadline_holds_and_what_is_in_doubt_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_thread(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr("portmail.integrations.logging.posting.started", no_thread)
    monkeypatch.setattr("portmail.blocking.started", no_thread)
    with play(SWALLOWS) as player:
        there = f"relay://127.0.0.1:{player.port}?tls=none"
        handler = MailHandler(to=OPS, sender=WEB, url=there, deadline=0.5)
        handler.handle(record())
        ENDING.begin()
    assert capsys.readouterr().err == "portmail: 1 log record may have been mailed, or not\n"


def test_what_portmail_logs_while_it_sends_is_not_mailed(sandbox: Sandbox) -> None:
    def password() -> str:
        logging.getLogger("shop.vault").error("asked for the password")
        return PASSWORD

    route = sandbox.routes[1:]
    mail = portmail.Submitter(routes=route, username="me@example.org", password=password, tls_ca=sandbox.ca)
    handler = mailing(sandbox, url=None, submitter=mail, level=logging.DEBUG)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        logging.getLogger("portmail.dialogue").debug("C: EHLO")
        logging.getLogger("aiosmtplib").error("lost")
        handler.flush()
        assert not sandbox.sessions
        logging.getLogger("portmailer").error("somebody else")
        logging.getLogger("asyncio").error("of the program")
        for _ in range(3):
            handler.flush()
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    assert len(sandbox.messages) == 1
    assert sandbox.messages[0].message["Subject"] == "2 records, worst ERROR: somebody else"
    made = record()
    made.threadName = "portmail-log"  # as it comes out of a queue
    assert not handler.handle(made)


def test_records_below_the_level_are_left_alone_also_when_a_queue_hands_them_over(sandbox: Sandbox) -> None:
    handler = mailing(sandbox)
    assert not handler.handle(record(level=logging.INFO))
    handler.addFilter(lambda it: it.getMessage() != "filtered")
    assert not handler.handle(record("filtered"))
    handler.flush()
    assert handler._posts == {}


def test_no_secret_is_shown(sandbox: Sandbox) -> None:
    scanner = Scanner(PASSWORD, own=lambda file: file == __file__)
    handler = mailing(sandbox)
    assert (str(handler), repr(handler)) == ("<MailHandler (ERROR)>",) * 2
    assert scanner.shown(handler) == []
    for wish in ({"to": "nobody"}, {"url": url(sandbox) + "&nonsense=1"}, {"capacity": 0}):
        with pytest.raises(portmail.PortmailError) as caught:
            mailing(sandbox, **wish)
        assert scanner.error(caught.value) == []


def test_it_is_configured_with_plain_arguments(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTMAIL_URL", sandbox.url)
    monkeypatch.setenv("PORTMAIL_CA", str(sandbox.ca))
    for how in ("class", "()"):
        mail = {
            how: "portmail.integrations.logging.MailHandler",
            "to": [OPS],
            "sender": WEB,
            "level": "WARNING",
        }
        configure({"mail": mail}, logger=["mail"])
        logging.getLogger("shop.configured").warning("Nearly full")
        logging.getLogger("shop.configured").info("Fine")
        began = time.monotonic()
        configure({}, logger=[])  # which flushes and closes what was configured before, under a lock
        assert time.monotonic() - began < 4
        arrived(sandbox, 1 if how == "class" else 2)
    subjects = [received.message["Subject"] for received in sandbox.messages]
    assert subjects == ["WARNING: Nearly full"] * 2


def configure(handlers: dict[str, Any], *, logger: list[str]) -> None:
    loggers = {"shop.configured": {"level": "DEBUG", "propagate": False, "handlers": logger}}
    common = {"version": 1, "disable_existing_loggers": False}
    logging.config.dictConfig({**common, "handlers": handlers, "loggers": loggers})


@pytest.mark.skipif(sys.version_info < (3, 12), reason="dictConfig makes queues from Python 3.12 on")
def test_it_works_behind_a_queue(sandbox: Sandbox) -> None:
    name = "portmail.integrations.logging.MailHandler"
    mail = {"class": name, "to": OPS, "sender": WEB, "url": url(sandbox)}
    configure(
        {"mail": mail, "queue": {"class": "logging.handlers.QueueHandler", "handlers": ["mail"]}},
        logger=["queue"],
    )
    queue: Any = logging.getHandlerByName("queue")  # type: ignore[attr-defined,unused-ignore]  # new in 3.12
    queue.listener.start()
    log = logging.getLogger("shop.configured")
    for number in range(3):
        log.error("text %d", number)
        log.info("fine")
    queue.listener.stop()
    configure({}, logger=[])
    arrived(sandbox, 1)
    assert sandbox.messages[0].message["Subject"] == "3 records, worst ERROR: text 0"


def test_a_configuration_that_is_wrong_fails_at_once() -> None:
    mail = {"class": "portmail.integrations.logging.MailHandler", "to": "nobody", "url": "relay://localhost"}
    with pytest.raises(ValueError, match="mail") as caught:
        configure({"mail": mail}, logger=["mail"])
    assert isinstance(caught.value.__cause__, portmail.AddressError)


NURSERY = """
import atexit, json, logging, logging.config, os, sys, threading, time
late = []
atexit.register(lambda: [log() for log in late])  # after the handlers' end: it is registered before
from portmail.integrations.logging import MailHandler

def handler(**wishes):
    return MailHandler(**{"to": "ops@example.org", "sender": "web1@example.com", **wishes})

def until_swallowed(mail):
    dot, dialogue = threading.Event(), logging.getLogger("portmail.dialogue")
    dialogue.setLevel(logging.DEBUG)
    dialogue.addFilter(lambda record: record.getMessage() == "C: ." and dot.set())
    mail._post().flush(seconds=0)
    dot.wait(20)

def ends():
    ended = {}
    while len(ended) < len(children):
        child, status = os.wait()
        ended[children[child]] = os.waitstatus_to_exitcode(status), time.monotonic() - began
    return ended

sending = [name for name in ("portmail.submitter", "portmail.pool", "aiosmtplib") if name in sys.modules]
import encodings.idna, portmail.blocking, portmail.repeating, portmail.submitter  # once for all
handler(url="relay://mail.example.org")
portmail.integrations.logging.posting._LEAVE = 20  # what is given up ends long before, also on a busy machine
began, children, log, text = time.monotonic(), {}, logging.getLogger("shop"), ""
for name, (program, url) in json.load(sys.stdin).items():
    if child := os.fork():
        children[child] = name
        continue
    children, text = {}, program
    os.environ["PORTMAIL_URL"] = url
    os.dup2(os.open(f"{sys.argv[1]}/{name}", os.O_CREAT | os.O_WRONLY), 2)
    break
if children:
    json.dump({"sending": sending, "ends": ends()}, sys.stdout)
else:
    sys.stdout = sys.stderr
    exec(text)
"""


@dataclass(frozen=True)
class End:
    """A program that ends: what it does, at what server, and what must come of that."""

    text: str
    server: str = "well"
    told: str = ""
    subjects: tuple[str, ...] = ()


MAILED = ("ERROR: last words",)

ADD = "log.addHandler(mail := handler(deadline=0.5)); "

FINE = "log.addHandler(mail := handler()); "

ENDS = {
    "in-doubt-after-the-deadline": End(
        f"{ADD}[log.error('%d', number) for number in range(5)]; until_swallowed(mail)",
        server="swallows",
        told="5 log records may have been mailed, or not",
    ),
    "hangs-with-more-to-come": End(
        f"{ADD}log.error('one'); until_swallowed(mail); log.error('two')",
        server="swallows",
        told="1 log record was not mailed\n1 log record may have been mailed, or not",
    ),
    "logs": End("log.addHandler(handler()); log.error('last words')", subjects=MAILED),
    "logs-after-the-end": End(
        "log.addHandler(handler()); late.append(lambda: log.error('last words'))", subjects=MAILED
    ),
    "logs-at-exit": End(
        "log.addHandler(handler()); atexit.register(log.error, 'last words')", subjects=MAILED
    ),
    "logs-all": End(
        "logging.basicConfig(handlers=[handler()], level=0); log.error('last words'); log.info('')",
        subjects=MAILED,
    ),
    "forgets-its-handler": End(
        "log.addHandler(mail := handler()); log.error('last words'); log.removeHandler(mail); del mail",
        subjects=MAILED,
    ),
    "is-configured-anew": End(
        "logging.root.addHandler(handler()); log.error('last words')\n"
        "logging.config.dictConfig({'version': 1})",
        subjects=MAILED,
    ),
    "in-doubt": End(
        f"{FINE}log.error('one'); log.error('two')",
        server="drops",
        told="2 log records may have been mailed, or not",
        subjects=("2 records, worst ERROR: one",),
    ),
    "in-doubt-long-before": End(
        f"{FINE}log.error('one'); mail.flush()",
        server="drops",
        told="1 log record may have been mailed, or not",
        subjects=("ERROR: one",),
    ),
    "refused": End(
        f"{FINE}log.error('one'); mail.flush(); [log.error('%d', number) for number in range(40)]; "
        "mail.flush(); log.error('three')",
        server="refuses",
        told="log records cannot be mailed: *\n42 log records were not mailed",
    ),
    "refused-for-one": End(
        "log.addHandler(mail := handler(to=['ops@example.org', 'boss@example.org']))\n"
        "log.error('one'); mail.flush(); log.error('two')",
        server="refuses",
        told="log records are not mailed to ops@example.org: 550 *",
        subjects=("ERROR: one", "ERROR: two"),
    ),
    "dead": End(f"{ADD}log.error('one')", server="dead", told="1 log record was not mailed"),
    "hangs": End(f"{ADD}log.error('one')", server="hangs", told="1 log record was not mailed"),
    "hangs-at-exit": End(
        f"{ADD}atexit.register(log.error, 'one')",
        server="hangs",
        told="1 log record was not mailed",
    ),
    "hangs-for-many": End(
        "[log.addHandler(handler(deadline=1)) for _ in range(12)]; log.error('one')",
        server="hangs",
        told="\n".join(["1 log record was not mailed"] * 12),
    ),
    "hangs-for-one": End(
        "log.addHandler(handler(url=os.environ['HANGS'], deadline=0.5)); log.addHandler(handler())\n"
        "log.error('last words')",
        told="1 log record was not mailed",
        subjects=MAILED,
    ),
    "hangs-closed": End(
        f"{ADD}log.error('one'); mail.close()",
        server="hangs",
        told="1 log record was not mailed",
    ),
    "hangs-forgotten": End(
        f"{ADD}log.error('one'); log.removeHandler(mail); del mail",
        server="hangs",
        told="1 log record was not mailed",
    ),
    "hangs-configured-anew": End(
        "logging.root.addHandler(handler(deadline=0.5)); log.error('one')\n"
        "logging.config.dictConfig({'version': 1, 'disable_existing_loggers': False})",
        server="hangs",
        told="1 log record was not mailed",
    ),
}

SWALLOWS = """
    S: 220 hi
    C: EHLO *
    S: 250 m
    C: MAIL *
    S: 250 ok
    C: RCPT *
    S: 250 ok
    C: DATA
    S: 354 go on
    BODY
    SILENCE
"""


class Ended:
    """What became of the programs: of how many seconds, what they said, what servers got."""

    def __init__(self, report: dict[str, Any], *, said: Path, boxes: dict[str, Sandbox]) -> None:
        self.sending: list[str] = report["sending"]
        self.ends: dict[str, tuple[int, float]] = report["ends"]
        self._said, self._boxes = said, boxes

    def said(self, name: str) -> str:
        return (self._said / name).read_text()

    def subjects(self, name: str) -> list[str]:
        box = self._boxes.get(name)
        return [received.message["Subject"] for received in box.messages] if box else []


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """All programs at the same time, in children of one: they wait most of it."""
    said = tmp_path_factory.mktemp("said")
    with ExitStack() as stack:
        boxes = {
            name: stack.enter_context(Sandbox())
            for name, end in ENDS.items()
            if end.server in ("well", "drops", "refuses")
        }
        for name, box in boxes.items():
            if ENDS[name].server == "drops":
                box.drop_after_dot()
            elif ENDS[name].server == "refuses":
                box.reject(OPS)
        players = {
            "hangs": stack.enter_context(play("SILENCE")).port,
            "swallows": stack.enter_context(play(SWALLOWS)).port,
            "dead": 9,
        }
        urls = {name: url(box) for name, box in boxes.items()}
        for name in ENDS.keys() - boxes.keys():
            urls[name] = f"relay://127.0.0.1:{players[ENDS[name].server]}?tls=none"
        programs = {name: (end.text, urls[name]) for name, end in ENDS.items()}
        hangs = f"relay://127.0.0.1:{players['hangs']}?tls=none"
        done = run(NURSERY, str(said), given=json.dumps(programs), HANGS=hangs)
        return Ended(json.loads(done.stdout), said=said, boxes=boxes)


@pytest.mark.parametrize("name", ENDS)
def test_when_a_program_ends_its_mail_goes_out_or_it_tells_how_many_records_did_not(
    name: str, ended: Ended
) -> None:
    end = ENDS[name]
    assert fnmatch(ended.said(name), "".join(f"portmail: {line}\n" for line in end.told.splitlines()))
    assert ended.subjects(name) == [*end.subjects]
    code, seconds = ended.ends[name]
    assert code == 0
    assert seconds < 10


def test_importing_it_imports_nothing_that_sends(ended: Ended) -> None:
    assert ended.sending == []


def run(text: str, *arguments: str, given: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a program of its own, with warnings as errors."""
    ours = {name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(text), *arguments],
        input=given,
        env={**ours, **environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def of(sandbox: Sandbox) -> dict[str, str]:
    return {"PORTMAIL_URL": sandbox.url, "PORTMAIL_CA": str(sandbox.ca)}


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_a_child_has_its_own_records_and_the_parent_keeps_its_own(sandbox: Sandbox) -> None:
    handler = mailing(sandbox)
    handler.handle(record("of the parent"))
    child = multiprocessing.get_context("fork").Process(target=handler.handle, args=(record("of the child"),))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    [received] = sandbox.messages
    assert received.message["Subject"] == "ERROR: of the child"
    handler.flush()
    assert sandbox.messages[1].message["Subject"] == "ERROR: of the parent"


def test_with_gevent_it_works_in_greenlets(sandbox: Sandbox) -> None:
    require(None if find_spec("gevent") else "gevent is not installed")
    done = run(
        """
        import logging, sys, time, warnings
        from portmail.integrations.logging import MailHandler
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from gevent import monkey
            monkey.patch_all()
        import asyncio, threading
        log = logging.getLogger("shop")
        log.addHandler(mail := MailHandler(to="ops@example.org", sender="web1@example.com"))
        def work():
            log.error("from a greenlet")
            time.sleep(0)
        greenlets = [threading.Thread(target=work) for _ in range(10)]
        for greenlet in greenlets:
            greenlet.start()
        for greenlet in greenlets:
            greenlet.join()
        mail.flush()
        log.error("at the end")
        if sys.version_info[:2] == (3, 12):  # there gevent resolves no names at exit
            mail.flush()
        """,
        **of(sandbox),
    )
    assert done.stderr == ""
    subjects = [received.message["Subject"] for received in sandbox.messages]
    assert subjects == ["10 records, worst ERROR: from a greenlet", "ERROR: at the end"]


def test_the_example_mails_all_its_errors_in_one_mail(sandbox: Sandbox) -> None:
    ours = {name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE")}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / "logging_config.py"), OPS],
        env={**of(sandbox), **ours},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    [received] = sandbox.messages
    assert received.message["Subject"] == "[shop] 10 records, worst ERROR: order 4711 was not charged"
    assert "TimeoutError: the bank did not answer\n[9 more like this until " in body(sandbox)
