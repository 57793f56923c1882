"""An address and a password, and nothing else: real DNS, real https, a real Postfix."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import pytest

from tests.cases import cases
from tests.servers.island import Island
from tests.servers.private import Done

Outcomes: TypeAlias = dict[str, dict[str, Any]]

BEGIN = """
import asyncio, json, os, sys, time
from email.message import EmailMessage
import portmail

ACCOUNT = {"password": "correct horse", "tls_ca": os.environ["PORTMAIL_CA"]}

def message(sender, to):
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, to, "found"
    mail.set_content("Hello.")
    return mail
"""

# For each domain a recipient: all messages are sent at once, each by a submitter of its own.
AT_ONCE = """
async def send(domain, recipient):
    sender, started = f"me@{domain}", time.monotonic()
    try:
        async with portmail.AsyncSubmitter(sender, **ACCOUNT, **eval(sys.argv[2])) as submitter:
            route = (await submitter.send(message(sender, recipient))).route
        outcome = {"route": f"{route.host}:{route.port}"}
    except portmail.PortmailError as exc:
        outcome = {"error": type(exc).__name__, "temporary": exc.temporary, "text": str(exc)}
    return outcome | {"seconds": time.monotonic() - started}

async def main(wishes):
    outcomes = await asyncio.gather(*(send(*wish) for wish in wishes.items()))
    print(json.dumps(dict(zip(wishes, outcomes))))

asyncio.run(main(json.loads(sys.argv[1])))
"""

ONE_BY_ONE = """
with portmail.Submitter("me@srv.test", **ACCOUNT) as submitter:
    for recipient in sys.argv[1:]:
        print(submitter.send(message("me@srv.test", recipient)).route.host, flush=True)
        input()
"""


GUESSING = "{'discovery': portmail.Discovery(sources=set(portmail.Source) - {portmail.Source.PACC})}"


def at_once(wishes: Mapping[str, str], options: str = "{}") -> tuple[str, ...]:
    """The program that sends as me@DOMAIN, for each domain to the recipient."""
    return (sys.executable, "-c", BEGIN + AT_ONCE, json.dumps(wishes), options)


def sent(
    place: Island, wishes: Mapping[str, str], options: str = "{}", cache: Path | str = "off"
) -> Outcomes:
    """Run it; tell for each domain which host and port took the message, or what was raised."""
    done = place.run(*at_once(wishes, options), env={"PORTMAIL_CACHE": str(cache)})
    assert done.code == 0, done.err
    outcomes: Outcomes = json.loads(done.out)
    return outcomes


def script(place: Island, sender: str, *, to: str, cache: Path | str = "off") -> Done:
    """Send one message as a script does."""
    account = ("--url", f"auto://{quote(sender, safe='')}@", "--from", sender)
    return place.portmail(
        *("send", *account, "--to", to, "--subject", "hi"),
        env={"PORTMAIL_PASSWORD": "correct horse", "PORTMAIL_CACHE": str(cache)},
        stdin="Hello.\n",
    )


def discover(place: Island, address: str, *arguments: str, cache: Path | str = "off") -> Done:
    return place.portmail("discover", address, *arguments, env={"PORTMAIL_CACHE": str(cache)})


@pytest.fixture(scope="module", autouse=True)
def slow(place: Island) -> Iterator[subprocess.Popen[str]]:
    """A program that waits for a web server that never answers, while the other tests run."""
    with place.start(*at_once({"slow.test": "slow@example.org"}, GUESSING)) as process:
        yield process
        process.kill()


# Every way of finding a server, and the host that it leads to.
WAYS: Mapping[str, tuple[str, str]] = {
    "unsigned SRV within the domain": ("srv.test", "mail.srv.test"),
    "signed SRV to another domain": ("signed.test", "mail.hoster.test"),
    "https of the domain names another domain": ("auto.test", "mail.elsewhere.test"),
    "https below the domain itself": ("known.test", "smtp.known.test"),
    "the table has the domain": ("gmx.net", "mail.gmx.net"),
    "MX leads into the table": ("custom.test", "smtp.fastmail.com"),
    "the database has the domain": ("listed.test", "smtp.listed.test"),
    "a domain beyond ASCII": ("bücher.test", "mail.xn--bcher-kva.test"),
}

# What a network does to which port, and the port that is left.
NETWORKS: Mapping[str, tuple[int | None, str, int]] = {
    "nothing blocked": (None, "", 465),
    "587 dropped": (587, "drop", 465),
    "465 dropped": (465, "drop", 587),
    "465 refused": (465, "reject with tcp reset", 587),
}


def recipient(network: str, domain: str) -> str:
    return f"{network.replace(' ', '-')}-{domain.encode('idna').decode()}@example.org"


@pytest.fixture(scope="module", params=cases(NETWORKS, daily=("nothing blocked", "587 dropped")))
def network(request: pytest.FixtureRequest, place: Island) -> tuple[str, Outcomes]:
    """A network, and who took the message of each domain there."""
    blocked, verdict, _ = NETWORKS[request.param]
    if blocked:
        place.block(blocked, verdict=verdict)
    try:
        return request.param, sent(
            place, {domain: recipient(request.param, domain) for domain, _ in WAYS.values()}
        )
    finally:
        place.unblock()


@pytest.mark.parametrize("way", WAYS)
def test_an_address_and_a_password_are_enough(way: str, network: tuple[str, Outcomes], place: Island) -> None:
    name, outcomes = network
    domain, host = WAYS[way]
    assert outcomes[domain].get("route") == f"{host}:{NETWORKS[name][2]}", outcomes[domain]
    assert len(place.mail.wait_for(recipient(name, domain))) == 1


# Where nobody may be dialed, and the error.
REFUSALS: Mapping[str, tuple[str, str, bool]] = {
    "only unsigned DNS names a host of another domain": ("foreign.test", "ApprovalRequired", False),
    "the nameserver fails": ("broken.test", "DiscoveryIncomplete", True),
    "the signatures are of another key": ("bogus.test", "DiscoveryIncomplete", True),
    "the provider takes tokens alone": ("company.test", "TokenRequired", False),
    "every name exists and is a website": ("wild.test", "DiscoveryError", False),
    "https leads to http": ("downhill.test", "DiscoveryError", False),
    "all that there is could be guessed": ("quiet.test", "DiscoveryError", False),
    "there is no such domain": ("nowhere.test", "DiscoveryError", False),
    "there is no such top-level domain": ("example.nowhere", "DiscoveryError", False),
}


def submissions(place: Island) -> int:
    """Count how often a submission server was dialed."""
    return place.connections(port=465) + place.connections(port=587)


@pytest.fixture(scope="module")
def refused(place: Island) -> tuple[Outcomes, int]:
    """What each of these domains came to, and how many submission servers were dialed for all of them."""
    before = submissions(place)
    outcomes = sent(place, {domain: "nobody@example.org" for domain, _, _ in REFUSALS.values()})
    return outcomes, submissions(place) - before


@pytest.mark.parametrize("case", REFUSALS)
def test_an_error_says_so_where(case: str, refused: tuple[Outcomes, int]) -> None:
    domain, error, temporary = REFUSALS[case]
    outcome = refused[0][domain]
    assert (outcome.get("error"), outcome.get("temporary")) == (error, temporary), outcome
    assert place_named(domain) in outcome["text"]


def test_no_submission_server_is_dialed_for_any_of_them(refused: tuple[Outcomes, int]) -> None:
    assert refused[1] == 0


def place_named(domain: str) -> str:
    """What a text must name: the host, where one was found."""
    hosts = {"foreign.test": "mail.stranger.test", "company.test": "smtp.office365.com"}
    return hosts.get(domain, domain)


def test_whom_only_unsigned_dns_names_is_dialed_after_approval_alone(place: Island, tmp_path: Path) -> None:
    stranger, sender, to = "mail.stranger.test", "me@foreign.test", "stranger@example.org"
    before = place.connections(host=stranger)
    refused = script(place, sender, to=to, cache=tmp_path)
    assert refused.code == 77
    assert f"--approve {stranger}" in refused.err
    assert discover(place, sender, "--approve", stranger, cache=tmp_path).code == 0
    assert place.connections(host=stranger) == before

    approved = script(place, sender, to=to, cache=tmp_path)
    assert (approved.code, approved.err) == (0, "")
    assert len(place.mail.wait_for(to)) == 1
    assert place.connections(host=stranger) > before


def test_a_program_may_approve(place: Island) -> None:
    approve = "{'approve': lambda it: it.route.host == 'mail.stranger.test'}"
    outcomes = sent(place, {"foreign.test": "approved@example.org"}, approve)
    assert outcomes["foreign.test"].get("route") == "mail.stranger.test:465"
    assert len(place.mail.wait_for("approved@example.org")) == 1


def seen(place: Island) -> tuple[int, int, int]:
    """Count what was asked of DNS and of https, and the submission servers dialed."""
    return len(place.queries()), len(place.requests()), submissions(place)


@pytest.fixture
def alone(place: Island, slow: subprocess.Popen[str]) -> Island:
    """The island when nobody else is at work there, who would be counted as well."""
    slow.wait(timeout=15)
    return place


def test_the_second_message_of_a_submitter_asks_nobody_and_dials_nobody(alone: Island) -> None:
    place, before = alone, seen(alone)
    program = (sys.executable, "-c", BEGIN + ONE_BY_ONE, "first@example.org", "second@example.org")
    with place.start(*program) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "mail.srv.test\n"
        first = seen(place)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "mail.srv.test\n"
        second = seen(place)
        assert process.communicate("\n", timeout=10) == ("", "")
    assert all(now > earlier for now, earlier in zip(first, before, strict=True))
    assert second == first
    for to in ("first@example.org", "second@example.org"):
        assert len(place.mail.wait_for(to)) == 1


def test_a_second_program_asks_for_nothing_but_the_address_of_the_host(alone: Island, tmp_path: Path) -> None:
    place = alone
    found = {domain: host for domain, host in WAYS.values() if domain != "bücher.test"}
    wishes = {domain: f"again-{domain}@example.org" for domain in found}
    first = sent(place, wishes, cache=tmp_path)
    queries, requests = len(place.queries()), place.requests()
    assert "https://autoconfig.auto.test/mail/config-v1.1.xml" in requests
    second = sent(place, wishes, cache=tmp_path)
    hosts = {f"{kind} {host}" for host in found.values() for kind in ("A", "AAAA")}
    assert set(place.queries()[queries:]) <= hosts
    assert place.requests() == requests
    for domain, host in found.items():
        assert first[domain].get("route") == second[domain].get("route") == f"{host}:465"
        assert len(place.mail.wait_for(wishes[domain], count=2)) == 2


def test_a_script_is_told_to_come_back_where_somebody_did_not_answer(place: Island) -> None:
    told = discover(place, "me@broken.test")
    assert told.code == 75
    told = script(place, "me@bogus.test", to="nobody@example.org")
    assert told.code == 75
    assert "try again later" in told.err


def test_discover_tells_that_a_password_will_not_work(place: Island) -> None:
    told = discover(place, "me@company.test")
    assert "smtp.office365.com" in told.out
    assert "password will not work" in told.out
    assert place.connections(host="smtp.office365.com") == 0


def test_discover_tells_a_program_who_is_trusted_and_why(place: Island) -> None:
    told = discover(place, "me@signed.test", "--json")
    assert (told.code, told.err) == (0, "")
    [implicit, starttls] = json.loads(told.out)["candidates"]
    assert (implicit["host"], implicit["port"], implicit["source"]) == ("mail.hoster.test", 465, "srv")
    assert (starttls["host"], starttls["port"], starttls["trust"]) == ("mail.hoster.test", 587, "owner")


def test_guesses_are_made_on_wish(place: Island) -> None:
    outcomes = sent(place, {"quiet.test": "quiet@example.org"}, GUESSING)
    assert outcomes["quiet.test"].get("route") == "smtp.quiet.test:465"
    assert len(place.mail.wait_for("quiet@example.org")) == 1


def test_a_web_server_that_never_answers_is_no_reason_to_guess(
    slow: subprocess.Popen[str], place: Island
) -> None:
    out, err = slow.communicate(timeout=15)
    assert not err
    outcome = json.loads(out)["slow.test"]
    assert (outcome.get("error"), outcome.get("temporary")) == ("DiscoveryIncomplete", True)
    assert "autoconfig.slow.test" in outcome["text"]
    assert 4 < outcome["seconds"] < 7
    assert place.connections(host="autoconfig.slow.test", port=443) > 0
    assert place.connections(host="smtp.slow.test") == 0


def test_for_a_domain_in_the_table_nobody_is_ever_asked(place: Island) -> None:
    outcomes = sent(place, {"gmx.net": "table@example.org"})
    assert outcomes["gmx.net"].get("route") == "mail.gmx.net:465"
    told = discover(place, "me@gmx.net")
    assert (told.code, told.err) == (0, "")
    assert "mail.gmx.net:587" in told.out
    # Whatever was sent there before.
    assert {it for it in place.queries() if it.endswith("gmx.net")} == {"A mail.gmx.net", "AAAA mail.gmx.net"}
    assert not [url for url in place.requests() if "gmx.net" in url]


@pytest.mark.parametrize("port", [80, 25])
def test_neither_http_nor_port_25_was_dialed_in_any_test(port: int, place: Island) -> None:
    assert place.connections(port=port) == 0


def test_pacc_is_asked_on_wish_alone(place: Island) -> None:
    assert discover(place, "me@pacc.test").code == 68
    done = discover(place, "me@pacc.test", "--also", "pacc")
    assert (done.code, done.err) == (0, "")
    assert "smtp.pacc.test:465 implicit-tls" in done.out
    asking = "{'discovery': portmail.Discovery(sources=['pacc'])}"
    outcomes = sent(place, {"pacc.test": "pacc@example.org"}, asking)
    assert outcomes["pacc.test"].get("route") == "smtp.pacc.test:465"
    assert len(place.mail.wait_for("pacc@example.org")) == 1


def test_a_private_name_space_is_an_ordinary_domain(place: Island) -> None:
    outcomes = sent(place, {"corp.internal": "corp@example.org"})
    assert outcomes["corp.internal"].get("route") == "mail.corp.internal:465"
    assert len(place.mail.wait_for("corp@example.org")) == 1


def test_a_wildcard_that_answers_every_question_leads_to_no_login(place: Island) -> None:
    before = len(place.requests())
    outcomes = sent(place, {"wildest.test": "wildest@example.org"}, "{'timeouts': 2, 'retry': None}")
    assert outcomes["wildest.test"].get("error") == "Unreachable", outcomes
    assert "www.wildest.test:443 implicit-tls" in outcomes["wildest.test"]["text"]
    assert not place.inbox("wildest@example.org")
    assert not [it for it in place.requests()[before:] if "www.wildest.test" in it]
