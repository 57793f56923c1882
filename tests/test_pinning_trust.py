"""Whose word moves an account to another server? Not that of others: submitters, the store, approvals."""

from __future__ import annotations

import re
import shlex

import pytest

import portmail
from portmail import Source, Trust
from portmail.candidate import Answer, Candidate
from portmail.cli import main
from portmail.discovery.outside import Mx
from portmail.discovery.pin import Pin, pin_key
from portmail.pinning import AGAIN, RENEWED_AGAIN
from portmail.search import Discovery
from portmail.store import Key, Store
from tests import test_pinning
from tests.discovery.outside import missed, records
from tests.leaks import PASSWORD
from tests.messages import message
from tests.test_pinning import AUTOCONFIG, HOSTS, ME, SILENCE, WEEK, Town

town = test_pinning.town

OLD, NEW, FOREIGN, _ = HOSTS

each_program = pytest.mark.parametrize("program", ["the same program", "another program"])
each_outage = pytest.mark.parametrize("outage", ["silent", "gone"])


def lose_owner(town: Town, outage: str) -> None:
    """The owner's own word does not come any more."""
    if outage == "silent":
        town.outside.answers[AUTOCONFIG] = SILENCE
    else:
        del town.outside.answers[AUTOCONFIG]


def begin(town: Town, program: str) -> None:
    """What follows happens in that program."""
    if program == "another program":
        town.forget()


def key_of(town: Town) -> Key:
    return pin_key("example.com", discovery=Discovery(), tls_ca=town.server.ca)


def pinned(town: Town) -> Pin:
    pin = town.memory.newest(key_of(town))
    assert pin is not None
    return pin


def takes_tokens_alone(town: Town) -> None:
    config = town.outside.answers[AUTOCONFIG]
    assert isinstance(config, bytes)
    town.outside.answers[AUTOCONFIG] = config.replace(b"password-cleartext", b"OAuth2")


class Asked:
    """A person who is asked for approval, and says yes."""

    def __init__(self) -> None:
        self.hosts: list[str] = []

    def __call__(self, candidate: Candidate) -> bool:
        self.hosts.append(candidate.route.host)
        return True


def fails(_candidate: Candidate) -> bool:
    raise KeyError("no terminal")


# Other submitters, and the store.


@each_program
@each_outage
def test_one_that_knew_less_does_not_overwrite_what_another_has_from_the_owner(
    town: Town, program: str, outage: str
) -> None:
    town.srv(OLD, lifetime=300)
    with town.account() as early:
        early.send(message())
        town.now += WEEK + 1
        town.owner(OLD)
        begin(town, program)
        assert town.send() == OLD
        lose_owner(town, outage)
        town.srv(NEW)
        assert early.send(message()).route.host == OLD
        assert pinned(town).trust is Trust.OWNER
    assert town.send() == OLD


@each_program
def test_one_that_knew_nothing_does_not_overwrite_it_by_discover_and_uses_it(
    town: Town, program: str
) -> None:
    with town.account() as early:
        town.owner(OLD)
        begin(town, program)
        town.send()
        lose_owner(town, "gone")
        town.srv(NEW)
        assert {it.route.host for it in early.discover().candidates} == {OLD}
        assert early.send(message()).route.host == OLD
    assert pinned(town).trust is Trust.OWNER
    assert town.send() == OLD


def test_discover_says_nothing_of_unsigned_dns_while_the_owner_is_silent(town: Town) -> None:
    with town.account() as early:
        town.owner(OLD)
        town.send()
        lose_owner(town, "silent")
        town.srv(NEW)
        with pytest.raises(portmail.DiscoveryIncomplete):
            early.discover()
        assert early.send(message()).route.host == OLD
    assert pinned(town).trust is Trust.OWNER


@pytest.mark.parametrize("approved", [NEW, FOREIGN])
@each_outage
def test_what_one_account_approved_costs_the_others_nothing(town: Town, approved: str, outage: str) -> None:
    town.owner(OLD)
    town.send()
    town.now += WEEK + 1
    lose_owner(town, outage)
    town.srv(approved)
    assert town.send(approve=approved) == approved
    town.srv(NEW)
    assert pinned(town).trust is Trust.OWNER
    assert town.send() == OLD
    town.forget()
    assert town.send() == OLD


def test_what_another_program_has_from_the_owner_meanwhile_takes_the_place_of_one_that_is_gone(
    town: Town,
) -> None:
    town.srv(OLD)
    with town.account() as early:
        early.discover()
        town.now += AGAIN + 1
        town.owner(NEW)
        town.forget()
        with town.account() as other:
            other.discover()
        lose_owner(town, "gone")
        town.down.add(OLD)
        receipt = early.send(message())
    assert receipt.route.host == NEW
    assert [it.route.host for it in receipt.attempts] == [OLD, NEW]


def test_what_another_program_wrote_that_knew_less_is_not_believed_by_one_that_knows_more(town: Town) -> None:
    town.owner(OLD)
    with town.account() as early:
        early.send(message())
        here = town.memory
        Store.usual().forget("routes", key_of(town))
        lose_owner(town, "gone")
        town.srv(NEW)
        town.forget()
        assert town.send() == NEW
        town.memory = here
        town.now += WEEK + 1
        assert early.send(message()).route.host == OLD
    assert town.send() == OLD


def test_what_the_table_of_this_version_says_is_not_written_down(town: Town) -> None:
    with portmail.Submitter("me@gmail.com", **town.wishes(username=ME)) as mail:
        assert mail.discover().candidates[0].source is Source.BUNDLED
    key = pin_key("gmail.com", discovery=Discovery(), tls_ca=town.server.ca)
    assert Store.usual().read("routes", key) is None
    assert town.memory.pin(key) is None


# What is known to be nowhere.


def test_that_there_is_nothing_is_told_of_the_address_that_is_asked_for(town: Town) -> None:
    with pytest.raises(portmail.DiscoveryError, match=f"spelling of {re.escape(ME)}"):
        town.send()
    asked = town.asked
    with portmail.Submitter("other@example.com", **town.wishes()) as mail:
        with pytest.raises(portmail.DiscoveryError, match=r"spelling of other@example\.com") as raised:
            mail.send(message())
    assert ME not in str(raised.value)
    assert town.asked == asked, "it was remembered"


def test_that_there_is_nothing_is_not_believed_where_an_answer_proved_nothing(town: Town) -> None:
    town.outside.answers[AUTOCONFIG] = missed(Answer.UNPROVEN, "the certificate is for portal.example")
    with pytest.raises(portmail.DiscoveryError):
        town.send()
    town.owner(OLD)
    assert town.send() == OLD


# discover(), and when it is looked again.


def test_a_submitter_goes_where_its_own_discover_leads(town: Town) -> None:
    town.owner(OLD)
    with town.account() as mail:
        assert mail.send(message()).route.host == OLD
        town.owner(NEW)
        assert mail.discover().candidates[0].route.host == NEW
        assert mail.send(message()).route.host == NEW


def test_what_discover_found_serves_where_the_former_server_is_gone(town: Town) -> None:
    town.owner(OLD)
    with town.account() as mail:
        mail.send(message())
        town.owner(NEW)
        mail.discover()
        mail.close()
        town.down.add(OLD)
        town.now += AGAIN + 1
        receipt = mail.send(message())
    assert [it.route.host for it in receipt.attempts] == [NEW]


def test_discover_tells_what_is_used_where_what_it_found_is_trusted_less(town: Town) -> None:
    town.owner(OLD)
    town.send()
    lose_owner(town, "gone")
    town.srv(NEW)
    with town.account() as mail:
        findings = mail.discover()
        assert {it.route.host for it in findings.candidates} == {mail.send(message()).route.host} == {OLD}
    [unused] = [it for it in findings.rejected if NEW in it.what]
    assert unused.reason == "trusted less than what is remembered of autoconfig"


def test_a_refresh_that_leads_to_where_our_password_is_no_good_fails_no_message(town: Town) -> None:
    town.owner(OLD)
    with town.account() as mail:
        mail.send(message())
        town.now += WEEK + 1
        takes_tokens_alone(town)
        assert [mail.send(message()).route.host for _ in range(2)] == [OLD, OLD]


def test_where_the_server_is_gone_it_is_told_that_our_password_is_no_good_at_the_other(town: Town) -> None:
    town.owner(OLD)
    town.send()
    town.owner(NEW)
    takes_tokens_alone(town)
    town.down.add(OLD)
    with town.account() as mail, pytest.raises(portmail.TokenRequired, match=NEW):
        mail.send(message())


def test_a_refresh_that_failed_is_not_tried_again_for_an_hour(town: Town) -> None:
    town.owner(OLD)
    with town.account() as mail:
        mail.send(message())
        town.now += WEEK + 1
        town.silent()
        mail.send(message())
        asked = town.asked
        town.now += RENEWED_AGAIN - 1
        mail.send(message())
        assert town.asked == asked
        town.now += 2
        mail.send(message())
        assert town.asked > asked


# Approvals.


def test_nobody_is_asked_to_approve_what_needs_no_approval(town: Town) -> None:
    asked = Asked()
    town.owner(OLD)
    with town.account(approve=asked) as mail:
        mail.send(message())
        town.now += WEEK + 1
        mail.send(message())
    assert asked.hosts == []


def test_a_person_is_asked_once_for_a_host(town: Town) -> None:
    asked = Asked()
    town.srv(FOREIGN)
    with town.account(approve=asked) as mail:
        for _ in range(3):
            assert mail.send(message()).route.host == FOREIGN
            town.now += WEEK + 1
    assert asked.hosts == [FOREIGN]


def test_a_function_that_fails_to_approve_is_told_as_a_fault_of_the_program(town: Town) -> None:
    town.srv(FOREIGN)
    with pytest.raises(portmail.ConfigurationError, match="approves hosts failed: KeyError") as raised:
        town.send(approve=fails)
    assert isinstance(raised.value.__cause__, KeyError)
    assert not town.server.sessions


def test_of_many_messages_each_is_told_that_nobody_could_approve(town: Town) -> None:
    town.srv(FOREIGN)
    with town.account(approve=fails) as mail:
        results = list(mail.send_many(message() for _ in range(3)))
    assert [type(result.error) for result in results] == [portmail.ConfigurationError] * 3
    assert len({id(result.error) for result in results}) == 3


# What the error says to do, done.


class Person:
    """Somebody who does what an error says."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def obeys(self, error: portmail.ApprovalRequired) -> str:
        """Run the command that the error names; what it tells."""
        command = re.search(r"run this once: portmail (.+?) \(or give", str(error))
        assert command is not None
        return self.says(*shlex.split(command[1]))

    def says(self, *words: str) -> str:
        """Run portmail; what it tells."""
        assert main(words) == 0
        told = self._capsys.readouterr()
        assert told.err == "", "the approval counts"
        return told.out


@pytest.fixture
def person(town: Town, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Person:
    """They work on the machine of the program."""
    monkeypatch.setenv("PORTMAIL_CA", str(town.server.ca))
    monkeypatch.setattr("portmail.discovery.memory.memory", lambda: town.memory)
    return Person(capsys)


def refused(mail: portmail.Submitter) -> portmail.ApprovalRequired:
    with pytest.raises(portmail.ApprovalRequired) as raised:
        mail.send(message())
    return raised.value


def test_the_advice_of_an_error_helps_the_submitter_that_raised_it(town: Town, person: Person) -> None:
    town.owner(OLD)
    with town.account() as mail:
        mail.discover()
        lose_owner(town, "gone")
        town.srv(NEW)
        town.down.add(OLD)
        town.now += AGAIN + 1
        assert f"{NEW}:{town.port}" in person.obeys(refused(mail))
        town.now += AGAIN + 1
        assert mail.send(message()).route.host == NEW


def test_a_person_can_move_all_programs_while_the_old_server_still_runs(town: Town, person: Person) -> None:
    town.owner(OLD)
    town.send()
    lose_owner(town, "gone")
    town.srv(NEW)
    person.says("discover", ME, "--approve", NEW)
    asked = town.asked
    assert town.send() == NEW
    town.forget()
    assert town.send() == NEW
    assert town.asked == asked


def test_the_advice_of_an_error_helps_a_program_that_asks_other_sources(town: Town, person: Person) -> None:
    own = Discovery(sources=Discovery().asked - {Source.ISPDB})
    town.owner(OLD)
    town.send(discovery=own)
    lose_owner(town, "gone")
    town.srv(NEW)
    town.down.add(OLD)
    with town.account(discovery=own) as mail:
        person.obeys(refused(mail))
    town.forget()
    assert town.send(discovery=own) == NEW


def test_the_advice_of_an_error_helps_where_the_table_is_out_of_date(town: Town, person: Person) -> None:
    town.down |= {"mail.gmx.net", "smtp.gmail.com"}
    town.outside.answers["mx", "gmx.net"] = records(Mx(0, "aspmx.l.google.com"))
    with portmail.Submitter("me@gmx.net", password=PASSWORD, retry=None) as mail:
        error = refused(mail)
    assert "smtp.gmail.com" in person.obeys(error).splitlines()[1]
    assert town.memory.approved("gmx.net") == {"smtp.gmail.com"}
    with portmail.Submitter("me@gmx.net", password=PASSWORD, retry=None) as mail:
        with pytest.raises(portmail.Unreachable):  # it is gone, too; but it was tried
            mail.send(message())
        assert {it.host for it in mail._pools.settings.routes} == {"smtp.gmail.com"}
