"""What is found is pinned: when is a server looked for, when again, and what may take its place?"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import portmail
from portmail import Cause, Source, Trust
from portmail.candidate import Answer
from portmail.discovery.memory import Memory
from portmail.discovery.outside import Mx, Srv
from portmail.pinning import AGAIN, RENEWED_AGAIN
from portmail.sandbox import Sandbox
from portmail.store import Store
from tests.discovery.outside import Fake, missed, records
from tests.leaks import PASSWORD
from tests.messages import message

ME = "me@example.com"
HOSTS = ("mail.example.com", "new.example.com", "mail.hoster.net", "smtp.spmode.ne.jp")
SUBMISSIONS = ("srv", "_submissions._tcp.example.com")
AUTOCONFIG = "https://autoconfig.example.com/mail/config-v1.1.xml"
SILENCE = missed(Answer.UNANSWERED, "no answer")
WEEK = 7 * 86400


class Town:
    """A domain in a test: who says what of it, the server on its hosts, and the time."""

    def __init__(self, server: Sandbox) -> None:
        self.server = server
        self.port = server.port(465)
        self.outside = Fake()
        self.now = 1_800_000_000.0
        self.down: set[str] = set()
        self.forget()

    def srv(self, host: str, *, signed: bool = False, lifetime: float = 3600.0) -> None:
        """From now on, SRV names that host, on the server's port."""
        self.outside.answers[SUBMISSIONS] = records(
            Srv(0, 0, self.port, host), signed=signed, lifetime=lifetime
        )

    def owner(self, host: str, username: str = "%EMAILADDRESS%") -> None:
        """From now on, autoconfig names that host."""
        self.outside.answers[AUTOCONFIG] = (
            '<clientConfig version="1.1"><emailProvider id="it"><domain>example.com</domain>'
            f'<outgoingServer type="smtp"><hostname>{host}</hostname><port>{self.port}</port>'
            f"<socketType>SSL</socketType><username>{username}</username>"
            "<authentication>password-cleartext</authentication></outgoingServer>"
            "</emailProvider></clientConfig>"
        ).encode()

    def silent(self) -> None:
        """From now on, nobody answers."""
        self.outside.answers.update(dict.fromkeys((*self.outside.answers, AUTOCONFIG, SUBMISSIONS), SILENCE))

    @property
    def asked(self) -> int:
        """How many questions were asked so far."""
        return len(self.outside.asked)

    def account(self, **wishes: Any) -> portmail.Submitter:
        return portmail.Submitter(ME, **self.wishes(**wishes))

    def wishes(self, **wishes: Any) -> dict[str, Any]:
        return {"password": PASSWORD, "tls_ca": self.server.ca, "retry": None} | wishes

    def forget(self) -> None:
        """As in a new process: only the store remembers."""
        self.memory = Memory(Store.usual(), clock=lambda: self.now)

    def send(self, **wishes: Any) -> str:
        """Send with a new submitter; the host that took it."""
        with self.account(**wishes) as mail:
            return mail.send(message()).route.host


@pytest.fixture
def town(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Town]:
    monkeypatch.setenv("PORTMAIL_CACHE", str(tmp_path / "cache"))
    with Sandbox(names=HOSTS, users={ME: PASSWORD, "me": PASSWORD, "d-account": PASSWORD}) as server:
        town = Town(server)
        resolve = socket.getaddrinfo

        def at_home(host: str, *rest: Any, **options: Any) -> Any:
            if host in town.down:
                raise socket.gaierror(socket.EAI_NONAME, "no such name")
            numeric = bool(options.get("flags", 0) & socket.AI_NUMERICHOST)
            return resolve("127.0.0.1" if host in HOSTS and not numeric else host, *rest, **options)

        monkeypatch.setattr(socket, "getaddrinfo", at_home)
        monkeypatch.setattr("portmail.pinning.World", lambda _discovery, **_kw: town.outside)
        monkeypatch.setattr("portmail.pinning.memory", lambda: town.memory)
        yield town


def test_an_address_and_a_password_are_enough_and_the_second_message_asks_nobody(town: Town) -> None:
    town.srv("mail.example.com")
    with town.account() as mail:
        first = mail.send(message())
        asked = town.asked
        second = mail.send(message())
    assert str(first.route) == f"mail.example.com:{town.port} implicit-tls"
    assert first.tls is not None
    assert first.tls.peer_name == "mail.example.com"
    assert second.route == first.route
    assert town.asked == asked > 0
    assert len(town.server.sessions) == 1
    assert [it.username for it in town.server.messages] == [ME, ME]


def test_another_submitter_of_the_program_asks_nobody(town: Town) -> None:
    town.srv("mail.example.com")
    town.send()
    asked = town.asked
    assert town.send() == "mail.example.com"
    assert town.asked == asked


def test_another_program_asks_nobody_where_there_is_a_store(town: Town) -> None:
    town.srv("mail.example.com")
    town.send()
    asked = town.asked
    town.forget()
    assert town.send() == "mail.example.com"
    assert town.asked == asked


def test_without_a_store_another_program_asks_again(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTMAIL_CACHE", "off")
    town.forget()
    town.srv("mail.example.com")
    town.send()
    asked = town.asked
    town.send()
    assert town.asked == asked
    town.forget()
    town.send()
    assert town.asked > asked


def test_a_submitter_asks_again_after_a_week_and_goes_where_it_is_led(town: Town) -> None:
    town.owner("mail.example.com")
    with town.account() as mail:
        mail.send(message())
        asked = town.asked
        town.now += WEEK - 1
        town.owner("new.example.com")
        assert mail.send(message()).route.host == "mail.example.com"
        assert town.asked == asked
        town.now += 2
        assert mail.send(message()).route.host == "new.example.com"
        assert town.asked > asked
    assert len(town.server.sessions) == 2


def test_what_srv_said_is_believed_for_as_long_as_it_says(town: Town) -> None:
    town.srv("mail.example.com", lifetime=7200)
    with town.account() as mail:
        mail.send(message())
        asked = town.asked
        town.now += 7199
        mail.send(message())
        assert town.asked == asked
        town.now += 2
        mail.send(message())
        assert town.asked > asked
    assert len(town.server.sessions) == 1, "the same routes: the same connection"


def test_a_refresh_that_fails_changes_nothing_and_is_not_tried_with_every_message(town: Town) -> None:
    town.owner("mail.example.com")
    with town.account() as mail:
        mail.send(message())
        town.now += WEEK + 1
        town.silent()
        asked = town.asked
        mail.send(message())
        assert town.asked > asked
        asked = town.asked
        mail.send(message())
        assert town.asked == asked
        town.now += RENEWED_AGAIN + 1
        mail.send(message())
        assert town.asked > asked


def test_what_is_trusted_less_does_not_replace_what_is_pinned(town: Town) -> None:
    town.owner("mail.example.com")
    with town.account() as mail:
        mail.send(message())
        town.now += WEEK + 1
        del town.outside.answers[AUTOCONFIG]
        town.srv("new.example.com")
        assert mail.send(message()).route.host == "mail.example.com"


def test_where_the_server_is_gone_another_is_found_for_the_very_message(town: Town) -> None:
    town.owner("mail.example.com")
    town.send()
    town.owner("new.example.com")
    town.down.add("mail.example.com")
    with town.account() as mail:
        receipt = mail.send(message())
        assert receipt.route.host == "new.example.com"
        assert [it.route.host for it in receipt.attempts] == ["mail.example.com"] * 2 + ["new.example.com"]
        asked = town.asked
        mail.send(message())
        assert town.asked == asked


def test_where_the_server_is_gone_what_is_trusted_less_needs_approval(town: Town) -> None:
    town.owner("mail.example.com")
    town.send()
    del town.outside.answers[AUTOCONFIG]
    town.srv("new.example.com")
    town.down.add("mail.example.com")
    with town.account() as mail, pytest.raises(portmail.ApprovalRequired) as raised:
        mail.send(message())
    assert raised.value.candidate is not None
    assert raised.value.candidate.route.host == "new.example.com"
    assert "trusted less" in str(raised.value)
    assert len(town.server.sessions) == 1, "nothing was connected to it"
    assert town.send(approve="new.example.com") == "new.example.com"


@pytest.mark.parametrize("left", ["the same", "nothing", "silence"])
def test_where_nothing_else_is_found_the_error_is_that_of_the_routes(town: Town, left: str) -> None:
    town.owner("mail.example.com")
    town.send()
    town.down.add("mail.example.com")
    if left == "nothing":
        del town.outside.answers[AUTOCONFIG]
    elif left == "silence":
        town.silent()
    with town.account() as mail:
        with pytest.raises(portmail.Unreachable) as raised:
            mail.send(message())
        asked = town.asked
        assert {it.error.cause for it in raised.value.attempts if it.error} == {Cause.NAME_NOT_FOUND}
        with pytest.raises(portmail.Unreachable):
            mail.send(message())
        assert town.asked == asked, "not with every message"
        town.now += AGAIN + 1
        with pytest.raises(portmail.Unreachable):
            mail.send(message())
        assert town.asked > asked


def test_where_the_table_is_out_of_date_the_others_are_asked(town: Town) -> None:
    town.down.add("smtp.gmail.com")
    config = town.outside.answers
    town.owner("mail.example.com")
    config["https://autoconfig.gmail.com/mail/config-v1.1.xml"] = config.pop(AUTOCONFIG)
    with portmail.Submitter("me@gmail.com", **town.wishes(username=ME)) as mail:
        assert mail.send(message()).route.host == "mail.example.com"


def test_a_login_that_is_refused_is_no_reason_to_look_again(town: Town) -> None:
    town.srv("mail.example.com")
    town.send()
    asked = town.asked
    with town.account(password="wrong") as mail, pytest.raises(portmail.AuthenticationFailed):
        mail.send(message())
    assert town.asked == asked


def test_many_tasks_look_once(town: Town) -> None:
    town.srv("mail.example.com")

    async def run() -> int:
        async with portmail.AsyncSubmitter(ME, **town.wishes()) as mail:
            receipts = await asyncio.gather(*(mail.send(message()) for _ in range(20)))
        return len(receipts)

    assert asyncio.run(run()) == 20
    assert town.outside.asked.count(SUBMISSIONS) == 1


def test_of_many_messages_each_is_told_that_there_is_no_server_and_it_is_looked_for_once(town: Town) -> None:
    town.silent()
    with town.account() as mail:
        results = list(mail.send_many(message() for _ in range(30)))
    assert [type(result.error) for result in results] == [portmail.DiscoveryIncomplete] * 30
    assert town.outside.asked.count(SUBMISSIONS) == 1


def test_many_messages_go_to_the_server_that_was_found(town: Town) -> None:
    town.srv("mail.example.com")
    with town.account() as mail:
        results = list(mail.send_many(message() for _ in range(30)))
    assert all(result.receipt for result in results)
    assert town.outside.asked.count(SUBMISSIONS) == 1


def test_a_definite_no_is_believed_for_an_hour_and_silence_never(town: Town) -> None:
    with pytest.raises(portmail.DiscoveryError):
        town.send()
    asked = town.asked
    with pytest.raises(portmail.DiscoveryError):
        town.send()
    assert town.asked == asked
    town.now += 3601
    town.silent()
    for _ in range(2):
        with pytest.raises(portmail.DiscoveryIncomplete):
            town.send()
        assert town.asked > asked
        asked = town.asked


def test_the_user_name_is_what_the_source_says(town: Town) -> None:
    town.owner("mail.example.com", username="%EMAILLOCALPART%")
    town.send()
    assert town.server.messages[-1].username == "me"


def test_a_user_name_that_is_given_is_used(town: Town) -> None:
    town.owner("mail.example.com", username="%EMAILLOCALPART%")
    town.send(username=ME)
    assert town.server.messages[-1].username == ME


def test_a_password_is_refused_before_anything_is_connected_where_only_tokens_are_taken(town: Town) -> None:
    with pytest.raises(portmail.TokenRequired):
        portmail.Submitter("me@outlook.com", password=PASSWORD)
    town.outside.answers["mx", "example.com"] = records(Mx(0, "example-com.mail.protection.outlook.com"))
    with town.account() as mail:
        for _ in range(2):
            with pytest.raises(portmail.TokenRequired, match="will not work"):
                mail.send(message())
    with pytest.raises(portmail.TokenRequired):
        town.account()
    assert not town.server.sessions


def test_a_user_name_that_does_not_follow_from_the_address_is_asked_for(town: Town) -> None:
    with pytest.raises(portmail.UsernameRequired, match="give username="):
        portmail.Submitter("me@docomo.ne.jp", password=PASSWORD)
    portmail.Submitter("me@docomo.ne.jp", password=PASSWORD, username="d-account")


def test_without_credentials_it_can_be_found_but_not_be_used_where_a_login_is_wanted(town: Town) -> None:
    with portmail.Submitter("me@gmail.com") as mail:
        assert mail.discover().candidates[0].source is Source.BUNDLED
        with pytest.raises(portmail.CredentialsUnusable, match="wants a login"):
            mail.send(message())


def test_what_one_program_approved_is_not_approved_for_another(town: Town) -> None:
    town.srv("mail.hoster.net")
    assert town.send(approve="mail.hoster.net") == "mail.hoster.net"
    with pytest.raises(portmail.ApprovalRequired):
        town.send()
    town.memory.approve("example.com", "mail.hoster.net")
    assert town.send() == "mail.hoster.net"
    town.forget()
    assert town.send() == "mail.hoster.net"


def test_what_a_guess_found_is_not_used_by_a_program_that_does_not_guess(town: Town) -> None:
    guessing = portmail.Discovery(sources=[*portmail.Discovery().asked, Source.GUESS])
    with town.account(discovery=guessing) as mail:
        assert mail.discover().candidates[0].source is Source.GUESS
    with pytest.raises(portmail.DiscoveryError):
        town.send()


async def never(_url: str) -> None:
    await asyncio.Event().wait()


def test_who_is_interrupted_while_the_server_is_looked_for_hears_that_nothing_was_sent(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> list[str]:
        monkeypatch.setattr(town.outside, "fetch", never)
        async with portmail.AsyncSubmitter(ME, **town.wishes()) as mail:
            sending = asyncio.ensure_future(mail.send(message()))
            await asyncio.sleep(0.05)
            sending.cancel()
            try:
                await sending
            except asyncio.CancelledError as stopped:
                return stopped.__notes__
        return []

    [note] = asyncio.run(run())
    assert "the message was not sent" in note


def test_the_search_has_no_more_time_than_the_submission(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        monkeypatch.setattr(town.outside, "fetch", never)
        async with portmail.AsyncSubmitter(ME, **town.wishes(timeouts=0.2)) as mail:
            with pytest.raises(portmail.DiscoveryIncomplete):
                await mail.send(message())

    asyncio.run(asyncio.wait_for(run(), 8))


def test_the_log_tells_of_the_search_and_of_the_message(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "portmail")
    town.silent()
    with pytest.raises(portmail.DiscoveryIncomplete):
        town.send()
    searched, told = (vars(record) for record in caplog.records)
    assert searched["portmail_event"] == "discovery"
    assert searched["portmail_domain"] == "example.com"
    assert (searched["portmail_error"], searched["portmail_temporary"]) == ("DiscoveryIncomplete", True)
    assert (told["portmail_event"], told["portmail_outcome"]) == ("message", "not sent")
    caplog.clear()
    town.outside.answers.clear()
    town.srv("mail.example.com")
    town.send()
    found = vars(caplog.records[0])
    assert (found["portmail_source"], found["portmail_trust"], found["portmail_routes"]) == (
        "srv",
        "unsigned",
        1,
    )
    assert [vars(it)["portmail_event"] for it in caplog.records] == ["discovery", "attempt", "message"]


def test_one_that_was_made_before_knows_what_another_found(town: Town) -> None:
    town.owner("mail.example.com")
    with town.account() as early, town.account() as late:
        late.send(message())
        asked = town.asked
        early.send(message())
    assert town.asked == asked


def test_what_is_approved_while_it_runs_counts(town: Town) -> None:
    town.srv("mail.hoster.net")
    with town.account() as mail:
        with pytest.raises(portmail.ApprovalRequired):
            mail.send(message())
        town.memory.approve("example.com", "mail.hoster.net")
        assert mail.send(message()).route.host == "mail.hoster.net"


def test_trust_does_not_fade_step_by_step(town: Town) -> None:
    town.owner("mail.example.com")
    with town.account() as mail:
        mail.send(message())
        del town.outside.answers[AUTOCONFIG]
        for host in ("mail.example.com", "new.example.com"):  # unsigned: first the same, then another
            town.now += WEEK + 1
            town.srv(host)
            assert mail.send(message()).route.host == "mail.example.com"


def test_a_clock_that_is_set_back_does_not_stop_the_search(town: Town) -> None:
    town.owner("mail.example.com")
    with town.account() as mail:
        mail.send(message())
        town.now -= 30 * 86400
        asked = town.asked
        mail.send(message())
        assert town.asked > asked


def test_discover_tells_what_is_used_and_sends_nothing(town: Town) -> None:
    town.owner("mail.example.com")
    with town.account() as mail:
        findings = mail.discover()
        assert findings.candidates[0].trust is Trust.OWNER
        assert not town.server.sessions
        mail.send(message())

    async def run() -> None:
        async with portmail.AsyncSubmitter(ME) as mail:
            assert (await mail.discover()).candidates == findings.candidates

    asyncio.run(run())
    with portmail.Submitter(host="mail.example.com") as mail, pytest.raises(portmail.ConfigurationError):
        mail.discover()
