"""`portmail discover`, as a person and as a program meet it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from portmail import Submitter
from portmail.candidate import Answer, Login
from portmail.cli import main
from portmail.cli.findings import NO_PASSWORDS
from portmail.cli.report import print_error
from portmail.discovery import memory as remembering
from portmail.discovery.outside import Mx, Srv
from portmail.errors import ApprovalRequired
from portmail.sandbox import Sandbox
from portmail.search import USUAL
from portmail.settings import from_url
from tests.discovery.outside import Somewhere, missed, records
from tests.discovery.test_client_config import config, server
from tests.leaks import traces

ME, DOMAIN = "me@example.com", "example.com"
AUTOCONFIG = "https://autoconfig.example.com/mail/config-v1.1.xml"
ISPDB = "https://autoconfig.thunderbird.net/v1.1/example.com"
SUBMISSIONS = ("srv", "_submissions._tcp.example.com")
MX = ("mx", DOMAIN)
SILENCE = missed(Answer.UNANSWERED, "no answer")

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Somewhere:
    """No lookup leaves, nothing of the user's is read or written, and no account is set."""
    somewhere = Somewhere()
    monkeypatch.setattr("portmail.pinning.World", somewhere)
    for name in [name for name in os.environ if name.startswith("PORTMAIL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PORTMAIL_CACHE", str(tmp_path / "cache"))
    remembering._memory.cache_clear()
    return somewhere


def discover(*arguments: str) -> int:
    """Run it as a program of its own, which remembers nothing but what is in the store."""
    remembering._memory.cache_clear()
    return main(["discover", *arguments])


def at(host: str, *, signed: bool = False, port: int = 465) -> Any:
    return records(Srv(0, 1, port, host), signed=signed)


def data(capsys: pytest.CaptureFixture[str]) -> Any:
    """What a program reads: one line of JSON, and nothing beside it."""
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.count("\n") == 1
    return json.loads(told.out)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What a person reads, without the times."""
    told = capsys.readouterr()
    assert told.err == ""
    return re.sub(r" \(\d+\.\d s\)", "", told.out).splitlines()


# What is found


TWO = {ISPDB: config(server()), SUBMISSIONS: at("mail.example.com")}
FEW = ("--without", "autoconfig", "--without", "well-known", "--without", "mx")


def test_a_person_reads_where_who_says_so_and_what_was_asked(
    outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.says(TWO)
    assert discover(ME, *FEW) == 0
    assert lines(capsys) == [
        "me@example.com submits at",
        "  smtp.example.com:465 implicit-tls",
        "  smtp.example.com:587 starttls      the other usual port of the same host",
        "known by: ispdb (somebody whom we know says so)",
        "user name: me@example.com",
        "login: password",
        "asked:",
        "  bundled: example.com: not in the table of this version",
        "  srv: SRV _submissions._tcp.example.com: mail.example.com:465",
        "  srv: SRV _submission._tcp.example.com: the name does not exist",
        f"  ispdb: {ISPDB}: names smtp.example.com",
        "not used:",
        "  mail.example.com:465 implicit-tls (srv): ispdb counts more",
    ]


def test_a_program_reads_the_same(outside: Somewhere, capsys: pytest.CaptureFixture[str]) -> None:
    outside.says(TWO)
    assert discover(ME, "--json", *FEW) == 0
    told = data(capsys)
    assert {name: told[name] for name in ("status", "address", "domain", "username", "password")} == {
        "status": "found",
        "address": ME,
        "domain": DOMAIN,
        "username": ME,
        "password": "possible",
    }
    assert told["candidates"] == [
        {
            "route": "smtp.example.com:465 implicit-tls",
            "host": "smtp.example.com",
            "port": 465,
            "security": "implicit-tls",
            "source": "ispdb",
            "trust": "directory",
            "username": "%EMAILADDRESS%",
            "logins": ["password"],
            "derived": "",
            "note": "",
        },
        {
            "route": "smtp.example.com:587 starttls",
            "host": "smtp.example.com",
            "port": 587,
            "security": "starttls",
            "source": "ispdb",
            "trust": "directory",
            "username": "%EMAILADDRESS%",
            "logins": ["password"],
            "derived": "the other usual port of the same host",
            "note": "",
        },
    ]
    assert told["rejected"] == [
        {
            "what": "mail.example.com:465 implicit-tls",
            "source": "srv",
            "reason": "ispdb counts more",
        }
    ]
    assert [it["answer"] for it in told["evidence"]] == ["absent", "found", "absent", "found"]
    assert all(it["seconds"] >= 0 for it in told["evidence"])
    assert told["evidence"][1] | {"seconds": 0} == {
        "source": "srv",
        "asked": "SRV _submissions._tcp.example.com",
        "answer": "found",
        "said": "mail.example.com:465",
        "trust": "unsigned",
        "seconds": 0,
    }


WORLDS: dict[str, tuple[Mapping[Any, Any], str]] = {
    "unsigned DNS within the domain": (
        {SUBMISSIONS: at("smtp.example.com")},
        "known by: srv (unsigned DNS says so)",
    ),
    "signed DNS": (
        {SUBMISSIONS: at("smtp.example.net", signed=True)},
        "known by: srv (as good as the word of the domain's owner)",
    ),
    "a provider that takes the mail": (
        {MX: records(Mx(1, "aspmx.l.google.com"))},
        "known by: mx (somebody whom we know says so)",
    ),
    "the database": ({ISPDB: config(server())}, "known by: ispdb (somebody whom we know says so)"),
}


@pytest.mark.parametrize("case", WORLDS)
def test_it_says_how_far_its_source_can_be_trusted(
    case: str, outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, words = WORLDS[case]
    outside.says(answers)
    assert discover(ME) == 0
    assert words in lines(capsys)


def test_a_provider_in_the_table_is_known_without_asking_anybody(
    outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    assert discover("me@gmail.com") == 0
    told = lines(capsys)
    assert told[:7] == [
        "me@gmail.com submits at",
        "  smtp.gmail.com:465 implicit-tls",
        "  smtp.gmail.com:587 starttls",
        "known by: bundled (as good as the word of the domain's owner)",
        "user name: me@gmail.com",
        "login: password or OAuth 2 token",
        f"note: {told[6].removeprefix('note: ')}",
    ]
    assert "app password" in told[6]
    assert outside.fake.asked == []


def test_a_note_is_told_to_a_program_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert discover("me@gmail.com", "--json") == 0
    told = data(capsys)
    assert all("app password" in it["note"] for it in told["candidates"])
    assert told["candidates"][0]["logins"] == ["oauth2", "password"]


@pytest.mark.parametrize("address", ["me@outlook.com", ME])
def test_it_says_where_a_password_will_not_work(
    address: str, outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.says({MX: records(Mx(0, "example-com.mail.protection.outlook.com"))})
    assert discover(address) == 0
    told = lines(capsys)
    assert NO_PASSWORDS in told
    assert "login: OAuth 2 token" in told
    assert discover(address, "--json") == 0
    assert data(capsys)["password"] == "refused"


@pytest.mark.parametrize("authentication", [["password-cleartext"], ["OAuth2", "password-cleartext"], []])
def test_it_says_so_nowhere_else(
    authentication: list[str], outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    more = "".join(f"<authentication>{it}</authentication>" for it in authentication)
    outside.says({AUTOCONFIG: config(server(authentication=None, more=more))})
    assert discover(ME) == 0
    assert NO_PASSWORDS not in lines(capsys)
    assert discover(ME, "--json") == 0
    assert data(capsys)["password"] == "possible"


def test_where_no_login_is_wanted_at_all_nothing_is_said_of_tokens(
    outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.says({AUTOCONFIG: config(server(authentication="none"))})
    assert discover(ME) == 0
    told = lines(capsys)
    assert "login: none" in told
    assert "token" not in "\n".join(told)


@pytest.mark.parametrize(
    ("address", "template", "username"),
    [
        (ME, "%EMAILADDRESS%", ME),
        (ME, "%EMAILLOCALPART%", "me"),
        ("me+tag@example.com", "%EMAILLOCALPART%", "me+tag"),
        ('"a b"@example.com', "%EMAILADDRESS%", '"a b"@example.com'),
        (ME, "%EMAILDOMAIN%/%EMAILLOCALPART%", "example.com/me"),
    ],
)
def test_the_user_name_is_told_as_it_will_be_shown(
    address: str, template: str, username: str, outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.says({AUTOCONFIG: config(server(username=template))})
    assert discover(address) == 0
    assert f"user name: {username}" in lines(capsys)
    assert discover(address, "--json") == 0
    told = data(capsys)
    assert (told["username"], told["candidates"][0]["username"]) == (username, template)


def test_a_user_name_that_does_not_follow_from_the_address_is_to_be_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert discover("me@docomo.ne.jp") == 0
    told = lines(capsys)
    assert "user name: none that follows from the address: give it" in told
    assert any(it.startswith("note: the user name is the d account id") for it in told)
    assert discover("me@docomo.ne.jp", "--json") == 0
    assert data(capsys)["username"] is None


def test_what_is_told_first_is_what_would_be_used_and_no_two_user_names_are(
    outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    other = server(hostname="other.example.com", username="%EMAILLOCALPART%")
    outside.says({AUTOCONFIG: config(server(), other)})
    with Submitter(ME, password="secret") as submitter:
        submitter.discover()
    with Submitter(ME, password="secret") as submitter:
        used = [str(it) for it in submitter._pools.settings.routes]
    assert used == ["smtp.example.com:465 implicit-tls", "smtp.example.com:587 starttls"]
    assert discover(ME) == 0
    told = lines(capsys)
    before = next(number for number, it in enumerate(told) if it.startswith("known by"))
    assert [it.split("  ")[1] for it in told[1:before]] == used
    assert any(
        it.startswith("  other.example.com:465 implicit-tls (autoconfig): it wants another") for it in told
    )


def test_an_internationalized_domain_is_asked_in_a_labels(
    outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.says({("srv", "_submissions._tcp.xn--bcher-kva.example"): at("smtp.xn--bcher-kva.example")})
    assert discover("me@bücher.example", "--json") == 0
    told = data(capsys)
    assert (told["address"], told["domain"]) == ("me@bücher.example", "xn--bcher-kva.example")
    assert told["username"] == "me@bücher.example"


def test_two_labels_of_which_one_alone_is_signed_are_told_like_any(
    outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    # As where one of the system's resolvers validates, and the other does not.
    outside.says(
        {
            SUBMISSIONS: at("smtp.example.com"),
            ("srv", "_submission._tcp.example.com"): at("smtp.example.com", signed=True, port=587),
        }
    )
    assert discover(ME) == 0
    assert "me@example.com submits at" in lines(capsys)


# Approval


FOREIGN = {SUBMISSIONS: at("smtp.hoster.net")}


def test_a_host_in_another_domain_that_only_unsigned_dns_names_needs_approval(
    outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.says(FOREIGN)
    assert discover(ME) == 77
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("portmail: smtp.hoster.net needs your approval")
    assert "Nothing was connected to it" in told.err
    assert "SRV _submissions._tcp.example.com: smtp.hoster.net:465" in told.err
    assert f"portmail discover {ME} --approve smtp.hoster.net" in told.err


def test_an_approval_is_given_once_and_remembered_by_all_programs(
    outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.says(FOREIGN)
    assert discover(ME) == 77
    capsys.readouterr()
    assert discover(ME, "--approve", "smtp.hoster.net") == 0
    assert lines(capsys)[1:3] == [
        "  smtp.hoster.net:465 implicit-tls",
        "known by: srv (unsigned DNS says so)",
    ]
    assert discover(ME) == 0
    assert lines(capsys)[1] == "  smtp.hoster.net:465 implicit-tls"
    remembering._memory.cache_clear()
    assert Submitter(ME, password="secret")._pools.settings.routes  # pinned: nobody is asked again


def test_it_is_remembered_of_that_host_and_that_domain_alone(
    outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.says({**FOREIGN, ("srv", "_submissions._tcp.example.org"): at("smtp.hoster.net")})
    assert discover(ME, "--approve", "smtp.hoster.net") == 0
    assert discover("me@example.org") == 77
    outside.says({SUBMISSIONS: at("smtp.other.net")})
    assert discover(ME, "--without", "mx") == 77  # asked in another way, so that nothing is pinned
    assert discover("you@example.com", "--approve", "smtp.other.net", "--without", "mx") == 0
    assert discover(ME, "--without", "mx") == 0


def test_an_approval_is_of_no_use_to_another_host(
    outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.says(FOREIGN)
    for host in ("smtp.hoster.org", "hoster.net", "mx.smtp.hoster.net"):
        assert discover(ME, "--approve", host) == 77
    assert discover(ME) == 77
    assert remembering.memory().approved(DOMAIN) == frozenset()


def test_approvals_may_be_several_and_in_any_spelling(
    outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.says(
        {
            SUBMISSIONS: records(
                Srv(0, 0, 465, "smtp.hoster.net"), Srv(1, 0, 465, "smtp.xn--bcher-kva.example")
            )
        }
    )
    assert discover(ME, "--approve", "SMTP.Hoster.NET.", "--approve", "smtp.bücher.example") == 0
    assert len([it for it in lines(capsys) if it.startswith("  smtp.")]) == 2
    assert remembering.memory().approved(DOMAIN) == {"smtp.hoster.net", "smtp.xn--bcher-kva.example"}


UNNEEDED: dict[str, tuple[str, Mapping[Any, Any], str]] = {
    "a host that the owner names": (ME, {SUBMISSIONS: at("smtp.hoster.net", signed=True)}, "smtp.hoster.net"),
    "a host that nobody names": (ME, {AUTOCONFIG: config(server())}, "smtp.hoster.net"),
    "a host that counts less": (ME, {AUTOCONFIG: config(server()), **FOREIGN}, "smtp.hoster.net"),
    "a host in the table": ("me@gmail.com", {}, "smtp.gmail.com"),
}


@pytest.mark.parametrize("case", UNNEEDED)
@pytest.mark.parametrize("as_json", [False, True])
def test_an_approval_that_is_not_needed_is_told_and_not_remembered(
    case: str, as_json: bool, outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    address, answers, host = UNNEEDED[case]
    outside.says(answers)
    assert discover(address, "--approve", host, *(["--json"] if as_json else [])) == 0
    told = capsys.readouterr()
    assert told.err.startswith(f"portmail: {host} needed no approval")
    assert "nothing is remembered" in told.err
    assert told.out
    assert not as_json or json.loads(told.out)["status"] == "found"
    assert remembering.memory().approved(address.rpartition("@")[2]) == frozenset()


def test_without_a_store_an_approval_counts_for_this_program_alone(
    outside: Somewhere, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PORTMAIL_CACHE", "off")
    outside.says(FOREIGN)
    assert discover(ME, "--approve", "smtp.hoster.net") == 0
    assert main(["discover", ME]) == 0
    assert discover(ME) == 77
    assert not (tmp_path / "cache").exists()


def test_the_advice_can_be_followed_word_for_word(
    outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.says(FOREIGN)
    assert discover(ME) == 77
    told = capsys.readouterr().err
    [command] = re.findall(r"portmail (discover \S+ --approve \S+)", told)
    for option in re.findall(r"\?approve=\S*[^\s,;.]", told):
        search = from_url(f"auto://{ME}{option}").search
        assert search is not None
        assert search.approve == ("smtp.hoster.net",)
    assert main(command.split()) == 0


@pytest.mark.parametrize("answers", [{}, {AUTOCONFIG: SILENCE}], ids=["nobody knows", "no answer"])
def test_the_advice_is_for_a_shell(
    answers: Mapping[Any, Any], outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.says(answers)
    assert discover(ME) in (68, 75)
    told = capsys.readouterr().err
    assert "name the server in the account URL" in told
    assert "host=" not in told


# Who is asked


PACC = "https://ua-auto-config.example.com/"
GUESS = "alias smtp.example.com"


@pytest.mark.parametrize(
    ("options", "there", "not_there"),
    [
        ((), ("mx", "srv", AUTOCONFIG, ISPDB), (PACC, GUESS)),
        (("--also", "guess"), ("mx", GUESS), (PACC,)),
        (("--also", "pacc"), ("mx", PACC), (GUESS,)),
        (("--also", "guess", "--also", "pacc"), (GUESS, PACC), ()),
        (("--also", "srv"), ("srv",), (GUESS, PACC)),
        (("--without", "srv"), ("mx", ISPDB), ("srv",)),
        (("--without", "srv", "--without", "ispdb"), ("mx",), ("srv", ISPDB)),
        (("--also", "guess", "--without", "guess"), ("mx",), (GUESS,)),
        (("--without", "guess", "--also", "guess"), ("mx",), (GUESS,)),
    ],
)
def test_sources_are_asked_as_it_is_wished(
    options: tuple[str, ...], there: tuple[str, ...], not_there: tuple[str, ...], outside: Somewhere
) -> None:
    assert discover(ME, *options) == (0 if GUESS in there else 68)
    questions = [it if isinstance(it, str) else " ".join(it) for it in outside.fake.asked]
    for it in there:
        assert any(question.startswith(it) for question in questions), it
    for it in not_there:
        assert not any(question.startswith(it) for question in questions), it


@pytest.mark.parametrize(
    ("options", "more", "less"),
    [
        ((), set(), set()),
        (("--also", "guess", "--also", "pacc"), {"guess", "pacc"}, set()),
        (("--without", "srv", "--without", "ispdb"), set(), {"srv", "ispdb"}),
        (("--also", "guess", "--without", "guess", "--without", "mx"), set(), {"mx"}),
    ],
)
def test_sources_are_added_and_left_out(
    options: tuple[str, ...], more: set[str], less: set[str], outside: Somewhere
) -> None:
    discover(ME, *options)
    [(discovery, _)] = outside.opened
    assert {it.value for it in discovery.asked} == {it.value for it in USUAL} - less | more


def test_a_guess_is_told_as_one(outside: Somewhere, capsys: pytest.CaptureFixture[str]) -> None:
    outside.says({("alias", "mail.example.com"): missed()})
    assert discover(ME) == 68
    capsys.readouterr()
    assert discover(ME, "--also", "guess") == 0
    told = lines(capsys)
    assert told[1:4] == [
        "  smtp.example.com:465 implicit-tls",
        "  smtp.example.com:587 starttls",
        "known by: guess (unsigned DNS says so)",
    ]


def test_a_resolver_and_the_certificates_are_handed_on(
    outside: Somewhere, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    monkeypatch.setenv("PORTMAIL_CA", str(sandbox.ca))
    discover(ME, "--resolver", "[2001:db8::1]:5353")
    [(discovery, tls_ca)] = outside.opened
    assert (discovery.resolver, tls_ca) == ("[2001:db8::1]:5353", Path(sandbox.ca))
    monkeypatch.setenv("PORTMAIL_CA", "")
    discover(ME)
    assert outside.opened[1][1] is None
    assert outside.opened[1][0].resolver is None


# What can go wrong


WRONG: dict[str, tuple[tuple[str, ...], Mapping[Any, Any], int, str, str]] = {
    "no address": ((), {}, 64, "", "ADDRESS"),
    "two addresses": ((ME, "you@example.com"), {}, 64, "", "you@example.com"),
    "a source that there is not": ((ME, "--also", "autodiscover"), {}, 64, "", "autodiscover"),
    "a source left out that there is not": ((ME, "--without", "dns"), {}, 64, "", "dns"),
    "an option that there is not": ((ME, "--password", "x"), {}, 64, "", "--password"),
    "what is no address": (("me",), {}, 65, "AddressError", "has no @"),
    "a name beside the address": (("Me <me@example.com>",), {}, 65, "AddressError", "cannot be used"),
    "a URL": (("auto://me:s3cr3t@example.com",), {}, 65, "AddressError", "a URL is no address"),
    "an address literal": (("me@[192.0.2.1]",), {}, 68, "DiscoveryError", "address literal"),
    "this machine": (("root@localhost",), {}, 68, "DiscoveryError", "localhost"),
    "nobody knows": ((ME,), {}, 68, "DiscoveryError", "No server found for example.com"),
    "nobody can be asked": ((ME, *(f"--without={it.value}" for it in USUAL)), {}, 68, "DiscoveryError", ""),
    "somebody does not answer": ((ME,), {AUTOCONFIG: SILENCE}, 75, "DiscoveryIncomplete", "try again later"),
    "an approval is missing": ((ME,), FOREIGN, 77, "ApprovalRequired", "needs your approval"),
    "an approval is missing, and somebody does not answer": (
        (ME,),
        {**FOREIGN, AUTOCONFIG: SILENCE},
        75,
        "DiscoveryIncomplete",
        "smtp.hoster.net",
    ),
    "a resolver by name": ((ME, "--resolver", "dns.example.net"), {}, 78, "ConfigurationError", "resolver="),
    "a resolver at port 0": ((ME, "--resolver", "192.0.2.1:0"), {}, 78, "ConfigurationError", "resolver="),
    "an approval of no host": ((ME, "--approve", "a b"), {}, 78, "InvalidRoute", "'a b' is no host name"),
    "an approval of a URL": ((ME, "--approve", "https://hoster.net"), {}, 78, "InvalidRoute", "host name"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_wrong_has_a_sentence_and_an_exit_code(
    case: str, as_json: bool, outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, answers, code, kind, words = WRONG[case]
    outside.says(answers)
    assert discover(*arguments, *(["--json"] if as_json else [])) == code
    told = capsys.readouterr()
    assert "Traceback" not in told.out + told.err
    assert "s3cr3t" not in told.out + told.err
    if not as_json or not kind:
        assert words in told.err
        assert told.out == ""
        return
    error = json.loads(told.out)
    assert told.err == ""
    assert (error["status"], error["error"]) == ("error", kind)
    assert words in error["text"]


def test_a_certificate_file_that_is_not_there_is_told_before_anybody_is_asked(
    outside: Somewhere, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PORTMAIL_CA", str(tmp_path / "none.pem"))
    assert discover(ME) == 78
    assert "none.pem" in capsys.readouterr().err
    assert outside.fake.asked == []


@pytest.mark.parametrize(
    ("answers", "code", "temporary"),
    [({}, 68, False), ({MX: SILENCE}, 75, True), (FOREIGN, 77, False)],
    ids=["nobody knows", "no answer", "approval"],
)
def test_an_error_as_json_carries_what_was_asked(
    answers: Mapping[Any, Any],
    code: int,
    temporary: bool,
    outside: Somewhere,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outside.says(answers)
    assert discover(ME, "--json") == code
    told = data(capsys)
    assert told["temporary"] is temporary
    sources = [it["source"] for it in told["evidence"]]
    assert sources == ["bundled", "autoconfig", "well-known", "srv", "srv", "mx", "ispdb"]
    assert set(told["evidence"][0]) == {"source", "asked", "answer", "said", "trust", "seconds"}
    [mx] = [it for it in told["evidence"] if it["source"] == "mx"]
    assert (mx["asked"], mx["answer"]) == ("MX example.com", "unanswered" if temporary else "absent")
    assert ("candidate" in told) is (code == 77)


def test_the_error_of_a_missing_approval_carries_the_candidate(
    outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.says(FOREIGN)
    assert discover(ME, "--json") == 77
    assert data(capsys)["candidate"] == {
        "route": "smtp.hoster.net:465 implicit-tls",
        "host": "smtp.hoster.net",
        "port": 465,
        "security": "implicit-tls",
        "source": "srv",
        "trust": "unsigned",
        "username": "%EMAILADDRESS%",
        "logins": [],
        "derived": "",
        "note": "",
    }


def test_an_error_without_a_candidate_is_told_without_one(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(ApprovalRequired("a host"), as_json=True)
    assert "candidate" not in data(capsys)


def test_nothing_of_the_users_account_is_shown(
    outside: Somewhere, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORTMAIL_URL", "submission://other%40example.net:s3cr3t-s3cr3t@mail.example.net")
    monkeypatch.setenv("PORTMAIL_PASSWORD", "s3cr3t-s3cr3t")
    outside.says({AUTOCONFIG: config(server())})
    for arguments in ([ME], [ME, "--json"], ["me@outlook.com"]):
        assert discover(*arguments) == 0
    told = capsys.readouterr()
    secrets = ("s3cr3t-s3cr3t", "other@example.net")
    assert traces(f"{told.out}{told.err}".encode(), secrets=secrets) == []


def test_it_asks_each_time_and_what_it_finds_is_there_for_the_next_message(outside: Somewhere) -> None:
    outside.says({AUTOCONFIG: config(server())})
    assert discover(ME) == 0
    assert discover(ME) == 0
    assert outside.fake.asked.count(AUTOCONFIG) == 2
    remembering._memory.cache_clear()
    submitter = Submitter(ME, password="secret")
    assert str(submitter._pools.settings.routes[0]) == "smtp.example.com:465 implicit-tls"
    assert len(outside.opened) == 2


def test_every_login_has_a_word(outside: Somewhere, capsys: pytest.CaptureFixture[str]) -> None:
    more = "".join(
        f"<authentication>{it}</authentication>" for it in ("password-cleartext", "OAuth2", "none")
    )
    outside.says({AUTOCONFIG: config(server(authentication=None, more=more))})
    assert discover(ME) == 0
    assert "login: password or OAuth 2 token or none" in lines(capsys)
    assert len(Login) == 3


def test_where_nobody_answers_it_tells_what_is_still_used(
    outside: Somewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.says({AUTOCONFIG: config(server())})
    assert discover(ME) == 0
    capsys.readouterr()
    outside.says({AUTOCONFIG: SILENCE})
    assert discover(ME) == 75
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith(
        "portmail: what was found before is still used: smtp.example.com:465 implicit-tls"
    )
