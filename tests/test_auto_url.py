"""What does `auto://` mean, what goes with an address alone, and does nothing of it show a secret?"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

import portmail
from portmail import AsyncSubmitter, Submitter
from portmail.candidate import Answer, Candidate, Findings, Source, Trust
from portmail.errors import (
    AddressError,
    ConfigurationError,
    CredentialsUnusable,
    DiscoveryError,
    DiscoveryIncomplete,
    InvalidRoute,
    InvalidURL,
    PortmailError,
    TokenRequired,
    UnescapedURL,
    UnknownScheme,
)
from portmail.route import Route
from portmail.sandbox import Sandbox
from portmail.search import Discovery
from portmail.security import SecretKind, Security
from portmail.settings import Settings, from_arguments, from_environment, from_url
from portmail.url import parse_url
from tests.discovery.outside import Somewhere, missed
from tests.leaks import PASSWORD, USER, Scanner

ME, PW = "me@example.com", "s3cr3t-s3cr3t"
SCANNER = Scanner(PW, own=lambda file: "/tests/" in file)


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Somewhere:
    """No lookup leaves, nothing of the user's is read or written, and no account is set."""
    somewhere = Somewhere()
    monkeypatch.setattr("portmail.pinning.World", somewhere)
    for name in [name for name in os.environ if name.startswith("PORTMAIL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PORTMAIL_CACHE", str(tmp_path_factory.getbasetemp() / uuid4().hex))
    return somewhere


def login(settings: Settings) -> str | None:
    return settings.credentials.username if settings.credentials else None


async def secret(settings: Settings) -> str:
    assert settings.credentials is not None
    return await settings.credentials.secret.resolve()


def same_secret(settings: Settings, expected: str) -> bool:
    """Whether this is the secret. A coroutine that awaits nothing needs no loop."""
    try:
        secret(settings).send(None)
    except StopIteration as told:
        return bool(told.value == expected)
    raise AssertionError("it waits")


# How it may be written


WITH_PASSWORD = [
    "auto://me%40example.com:{pw}@",
    "auto://me%40example.com:{pw}@/",
    "auto://me:{pw}@example.com",
    "auto://me:{pw}@example.com/",
    "AUTO://me:{pw}@example.com",
    "Auto://me%40example.com:{pw}@",
    " auto://me%40example.com:{pw}@\n",
    "auto://%6De%40example%2Ecom:{pw}@",
]
WITHOUT = [
    "auto://me@example.com",
    "auto://me@example.com/",
    "auto://me%40example.com",
    "auto://me%40example.com/",
    "auto://me%40example.com@",
    "AUTO://me%40example.com@/",
]


@pytest.mark.parametrize("url", WITH_PASSWORD)
def test_all_ways_to_write_an_address_and_a_password_mean_the_same(url: str) -> None:
    parsed = parse_url(url.format(pw="a%40b%2Fc+d%25"))
    assert (parsed.scheme, parsed.address, parsed.password) == ("auto", ME, "a@b/c+d%")
    assert (parsed.username, dict(parsed.route)) == (None, {})
    assert (parsed.tls_ca, parsed.sender, parsed.approve) == (None, None, ())


@pytest.mark.parametrize("url", WITHOUT)
def test_all_ways_to_write_an_address_alone_mean_the_same(url: str) -> None:
    parsed = parse_url(url)
    assert (parsed.scheme, parsed.address, parsed.password) == ("auto", ME, None)
    assert (parsed.username, dict(parsed.route)) == (None, {})


def test_an_empty_password_is_none() -> None:
    assert from_url("auto://me%40example.com:@").credentials is None


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("auto://me+tag@example.com", "me+tag@example.com"),
        ("auto://me%2Btag%40example.com@", "me+tag@example.com"),
        ("auto://%22a%20b%22%40example.com:pw@", '"a b"@example.com'),
        ("auto://%22a%20b%22:pw@example.com", '"a b"@example.com'),
        ("auto://%22a%40b%22%40example.com:pw@", '"a@b"@example.com'),
        ("auto://me@bücher.example", "me@bücher.example"),
        ("auto://me%40b%C3%BCcher.example:pw@", "me@bücher.example"),
        ("auto://gr%C3%BC%C3%9Fe@example.com", "grüße@example.com"),
        ("auto://a%2Fb%40example.com:pw@", "a/b@example.com"),
        ("auto://me:pw@xn--bcher-kva.example", "me@xn--bcher-kva.example"),
    ],
)
def test_any_address_can_be_written(url: str, address: str) -> None:
    settings = from_url(url)
    assert settings.search is not None
    assert (settings.search.address, settings.sender) == (address, address)


# A colon in an address may be one in front of a password: such a URL is refused.
@given(st.text(min_size=1, max_size=20).filter(lambda text: ":" not in text), st.text(max_size=20))
def test_whatever_is_escaped_comes_back(local: str, password: str) -> None:
    address = f"{local}@example.com"
    parsed = parse_url(f"auto://{quote(address, safe='')}:{quote(password, safe='')}@?from=x@example.com")
    assert (parsed.address, parsed.password, parsed.sender) == (address, password or None, "x@example.com")


@pytest.mark.parametrize(
    "where", ["auto://me%40example.com:pw@{}", "auto://me:pw@example.com{}", "auto://me@example.com{}"]
)
def test_options_name_the_ca_file_the_sender_and_the_approved_hosts(where: str) -> None:
    parsed = parse_url(
        where.format("?ca=/etc/ca.pem&from=you%40example.com&approve=a.example.net,b.example.net")
    )
    assert (parsed.address, parsed.tls_ca, parsed.sender) == (ME, "/etc/ca.pem", "you@example.com")
    assert parsed.approve == ("a.example.net", "b.example.net")
    assert parse_url(where.format("/?from=you@example.com")).sender == "you@example.com"


@pytest.mark.parametrize(
    ("query", "hosts"),
    [
        ("?approve=a.example.net", ("a.example.net",)),
        ("?approve=", ()),
        ("?approve=,a.example.net,,b.example.net,", ("a.example.net", "b.example.net")),
        ("?approve=A.Example.NET.", ("a.example.net",)),
        ("?approve=smtp.b%C3%BCcher.example", ("smtp.xn--bcher-kva.example",)),
    ],
)
def test_approved_hosts_are_parted_by_commas(query: str, hosts: tuple[str, ...]) -> None:
    settings = from_url(f"auto://me@example.com{query}")
    assert settings.search is not None
    assert settings.search.approve == hosts


WRONG: dict[str, tuple[type[PortmailError], str]] = {
    "auto://": (InvalidURL, "wants an address"),
    "auto://@": (InvalidURL, "wants an address"),
    f"auto://{PW}": (InvalidURL, "wants an address"),
    f"auto://{PW}@": (InvalidURL, "wants an address"),
    f"auto://me:{PW}@": (InvalidURL, "wants an address"),
    f"auto://:{PW}@": (InvalidURL, "wants an address"),
    f"auto://:{PW}@example.com": (InvalidURL, "wants an address"),
    f"auto://me%40example.com:{PW}@mail.example.com": (InvalidURL, "finds the host itself"),
    f"auto://me%40example.com:{PW}@mail.example.com:587": (InvalidURL, "finds the host itself"),
    f"auto://me%40example.com:{PW}@[192.0.2.1]": (InvalidURL, "finds the host itself"),
    f"auto://me%40example.com:{PW}@?tls=none": (InvalidURL, "use ca, from and approve with auto://"),
    f"auto://me%40example.com:{PW}@?host=mail.example.com": (InvalidURL, "an option that is unknown"),
    f"auto://me%40example.com:{PW}@?APPROVE=a.example.net": (InvalidURL, "an option that is unknown"),
    f"auto://me%40example.com:{PW}@/inbox": (InvalidURL, "has a path"),
    f"auto://me%40example.com:{PW}@#x": (UnescapedURL, "percent-encoded"),
    f"auto://me@example.com:{PW}@": (UnescapedURL, "@ as %40"),
    f"auto://me:{PW}@{PW}@example.com": (UnescapedURL, "@ as %40"),
    f"auto://me:{PW}/{PW}@example.com": (UnescapedURL, "/ as %2F"),
    f"auto://me:{PW}?{PW}@example.com": (UnescapedURL, "percent-encoded"),
    f"auto://me:{PW}#{PW}@example.com": (UnescapedURL, "# as %23"),
    f"auto://me:{PW}%@example.com": (UnescapedURL, "% as %25"),
    f"auto://me:{PW} {PW}@example.com": (UnescapedURL, "percent-encoded"),
    f"auto:me:{PW}@example.com": (UnknownScheme, "no scheme"),
    f"auto//me:{PW}@example.com": (UnknownScheme, "auto://"),
    f"autos://me:{PW}@example.com": (UnknownScheme, "auto://"),
    f"submission://me:{PW}@mail.example.com?approve=a.example.net": (InvalidURL, "an option that is unknown"),
    f"auto://me:{PW}@example.com:587": (PortmailError, ""),
    f"auto://me:{PW}@example..com": (PortmailError, ""),
    f"auto://a%20b:{PW}@example.com": (PortmailError, ""),
    f"auto://me:{PW}@localhost": (DiscoveryError, "give host="),
    f"auto://me:{PW}@[192.0.2.1]": (DiscoveryError, "give host="),
    f"auto://root%40intranet:{PW}@": (DiscoveryError, "give host="),
    f"auto://me:{PW}@example.com?approve=*": (InvalidRoute, "is no host name"),
    f"auto://me:{PW}@example.com?from=nobody": (AddressError, "nobody"),
    # The @ behind the password is forgotten, or is escaped as well.
    f"auto://me%40example.com:{PW}": (PortmailError, ""),
    f"auto://me%40example.com:{PW}/": (PortmailError, ""),
    f"auto://me:{PW}%40example.com": (PortmailError, ""),
    f"auto://me:{PW}%40example.com@": (PortmailError, ""),
    f"auto://me%40example.com:{PW}%40": (PortmailError, ""),
    f"auto://me%40example.com%3A{PW}@": (PortmailError, ""),
}

WAYS: dict[str, Callable[[str], object]] = {
    "from_url": Submitter.from_url,
    "send, by way of from_env": lambda url: portmail.send(to=ME, subject="Hello", url=url),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("url", WRONG)
def test_a_url_that_cannot_be_understood_says_what_to_change_and_shows_no_password(
    url: str, way: str, outside: Somewhere
) -> None:
    error, words = WRONG[url]
    with pytest.raises(error) as caught:
        WAYS[way](url)
    assert words in str(caught.value)
    assert SCANNER.error(caught.value) == []
    assert outside.opened == []


@pytest.mark.parametrize("url", [it for it in WRONG if "%40example.com:" in it or it.endswith(f":{PW}")])
def test_nothing_that_is_made_of_a_url_shows_its_password(url: str) -> None:
    try:
        parsed = parse_url(url)
    except PortmailError:
        return
    assert not SCANNER.text(repr(parsed))


@pytest.mark.parametrize("url", WITH_PASSWORD)
def test_no_password_is_shown_of_a_url_that_was_understood(url: str) -> None:
    assert parse_url(url.format(pw=PW)).password == PW
    assert not SCANNER.text(repr(parse_url(url.format(pw=PW))))


# What is made of it


@pytest.mark.parametrize("url", WITH_PASSWORD)
def test_the_address_is_the_sender_and_the_user_name_and_its_server_is_looked_for(url: str) -> None:
    settings = from_url(url.format(pw=PW))
    assert settings.search is not None
    assert (settings.search.address, settings.search.domain) == (ME, "example.com")
    assert (settings.sender, settings.routes, login(settings)) == (ME, (), ME)
    assert settings.search.username is None  # it follows from what is found
    assert settings.credentials is not None
    assert settings.credentials.kind is SecretKind.PASSWORD
    assert same_secret(settings, PW)


@pytest.mark.parametrize("url", WITHOUT)
@pytest.mark.parametrize("variable", ["PORTMAIL_PASSWORD", "PORTMAIL_PASSWORD_FILE"])
def test_the_password_may_be_in_the_environment_instead(url: str, variable: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{PW}\n")
    value = str(tmp_path / "password") if variable.endswith("FILE") else PW
    settings = from_environment({"PORTMAIL_URL": url, variable: value})
    assert login(settings) == ME
    assert same_secret(settings, PW)


def test_without_any_password_there_are_no_credentials() -> None:
    settings = from_url("auto://me@example.com")
    assert (settings.credentials, settings.sender) == (None, ME)


ME_WITH = f"auto://me%40example.com:{PW}@"


def test_the_password_in_the_url_counts_more_than_that_of_the_environment() -> None:
    assert same_secret(from_environment({"PORTMAIL_URL": ME_WITH, "PORTMAIL_PASSWORD": "other"}), PW)


def test_a_user_name_in_the_environment_is_the_users_own_word() -> None:
    settings = from_environment({"PORTMAIL_URL": ME_WITH, "PORTMAIL_USERNAME": "postmaster"})
    assert settings.search is not None
    assert (login(settings), settings.search.username, settings.sender) == ("postmaster", "postmaster", ME)
    assert settings.search.address == ME


def test_a_user_name_without_a_password_is_told() -> None:
    with pytest.raises(CredentialsUnusable, match="a user name without password"):
        from_environment({"PORTMAIL_URL": "auto://me@example.com", "PORTMAIL_USERNAME": "postmaster"})


def test_the_sender_is_that_of_the_url_then_that_of_the_environment_then_the_address() -> None:
    environ = {"PORTMAIL_FROM": "env@example.com"}
    assert (
        from_environment(environ | {"PORTMAIL_URL": f"{ME_WITH}?from=url@example.com"}).sender
        == "url@example.com"
    )
    assert from_environment(environ | {"PORTMAIL_URL": ME_WITH}).sender == "env@example.com"
    assert from_environment({"PORTMAIL_URL": ME_WITH}).sender == ME


def test_the_ca_file_is_that_of_the_url_then_that_of_the_environment() -> None:
    environ = {"PORTMAIL_CA": "/env.pem"}
    assert from_environment(environ | {"PORTMAIL_URL": f"{ME_WITH}?ca=/url.pem"}).tls_ca == Path("/url.pem")
    assert from_environment(environ | {"PORTMAIL_URL": ME_WITH}).tls_ca == Path("/env.pem")


def test_arguments_count_more_than_the_url() -> None:
    discovery = Discovery(sources="srv")
    settings = from_url(
        f"{ME_WITH}?approve=url.example.net&from=url@example.com",
        password="other",
        username="postmaster",
        approve="argument.example.net",
        sender="argument@example.com",
        discovery=discovery,
    )
    assert settings.search is not None
    assert settings.search.approve == ("argument.example.net",)
    assert settings.search.discovery is discovery
    assert (settings.sender, login(settings)) == ("argument@example.com", "postmaster")
    assert same_secret(settings, "other")


def test_a_token_takes_the_place_of_the_password() -> None:
    for settings in (
        from_url(ME_WITH, token="t0k3n"),
        from_environment({"PORTMAIL_URL": "auto://me@example.com", "PORTMAIL_PASSWORD": PW}, token="t0k3n"),
    ):
        assert settings.credentials is not None
        assert (login(settings), settings.credentials.kind) == (ME, SecretKind.TOKEN)
        assert same_secret(settings, "t0k3n")


def test_an_account_is_not_shown_to_a_host_that_an_argument_names() -> None:
    settings = from_url(f"{ME_WITH}?approve=a.example.net", host="mail.example.net")
    assert (settings.credentials, settings.search, settings.sender) == (None, None, None)
    assert {it.host for it in settings.routes} == {"mail.example.net"}


@pytest.mark.parametrize(
    "wishes", [{"port": 587}, {"security": "starttls"}, {"port": 465, "security": "implicit-tls"}]
)
def test_a_port_without_a_host_is_told(wishes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="port= and security= are for a host"):
        from_url(ME_WITH, **wishes)


@pytest.mark.parametrize("url", ["submission://me:pw@mail.example.com", "relay://mail.example.com"])
@pytest.mark.parametrize(
    "wishes", [{"discovery": Discovery()}, {"approve": "a.example.net"}, {"approve": ()}]
)
def test_nothing_is_looked_for_where_the_url_names_the_host(url: str, wishes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="discovery= and approve= are for an address alone"):
        from_url(url, **wishes)


# An address alone, and what goes with it


ROUTE = Route("mail.example.com", 465, Security.IMPLICIT_TLS)
WHOSE: dict[str, tuple[tuple[Any, ...], dict[str, Any], type[PortmailError] | None, bool]] = {
    "an address alone": ((ME,), {}, None, True),
    "with a password": ((ME,), {"password": PW}, None, True),
    "with a token": ((ME,), {"token": PW}, None, True),
    "with a user name and a password": ((ME,), {"username": "me", "password": PW}, None, True),
    "with a user name alone": ((ME,), {"username": "me"}, CredentialsUnusable, True),
    "with options": ((ME,), {"discovery": Discovery(seconds=1)}, None, True),
    "with approvals": ((ME,), {"approve": ["a.example.net"]}, None, True),
    "with a function that approves": ((ME,), {"approve": lambda _: True}, None, True),
    "with both": ((ME,), {"discovery": Discovery(), "approve": "a.example.net"}, None, True),
    "with a host": ((ME,), {"host": "mail.example.com", "password": PW}, None, False),
    "with a host and a port": ((ME,), {"host": "mail.example.com", "port": 465, "password": PW}, None, False),
    "with routes": ((ME,), {"routes": [ROUTE], "password": PW}, None, False),
    "with a host that is None": ((ME,), {"host": None, "port": None, "routes": None}, None, True),
    "with a port": ((ME,), {"port": 587, "password": PW}, ConfigurationError, True),
    "with a security": ((ME,), {"security": "starttls", "password": PW}, ConfigurationError, True),
    "with a host and options": (
        (ME,),
        {"host": "mail.example.com", "discovery": Discovery(), "password": PW},
        ConfigurationError,
        False,
    ),
    "with a host and approvals": (
        (ME,),
        {"host": "mail.example.com", "approve": "a.example.net", "password": PW},
        ConfigurationError,
        False,
    ),
    "with routes and options": (
        (ME,),
        {"routes": [ROUTE], "discovery": Discovery(), "password": PW},
        ConfigurationError,
        False,
    ),
    "with routes and approvals": (
        (ME,),
        {"routes": [ROUTE], "approve": (), "password": PW},
        ConfigurationError,
        False,
    ),
    "with options that are none": ((ME,), {"discovery": "srv", "password": PW}, ConfigurationError, True),
    "with an approval that is no host": ((ME,), {"approve": "*", "password": PW}, InvalidRoute, True),
    "what is no address": (("me",), {"password": PW}, AddressError, True),
    "what is no address, with a host and a sender": (
        ("me",),
        {"host": "mail.example.com", "sender": ME, "password": PW, "username": "me"},
        AddressError,
        False,
    ),
    "an address literal": (("me@[192.0.2.1]",), {"password": PW}, DiscoveryError, True),
    "an address literal with a host": (
        ("me@[192.0.2.1]",),
        {"host": "192.0.2.1", "password": PW},
        None,
        False,
    ),
    "an address on this machine": (("root@localhost",), {"password": PW}, DiscoveryError, True),
    "no address": ((), {"password": PW, "username": "me"}, DiscoveryError, False),
    "no address, and options": ((), {"discovery": Discovery()}, ConfigurationError, False),
    "no address, and approvals": ((), {"approve": "a.example.net"}, ConfigurationError, False),
}


@pytest.mark.parametrize("kind", [Submitter, AsyncSubmitter])
@pytest.mark.parametrize("case", WHOSE)
def test_a_server_is_looked_for_where_an_address_alone_says_where(
    case: str, kind: type[Submitter | AsyncSubmitter], outside: Somewhere
) -> None:
    arguments, wishes, error, sought = WHOSE[case]
    if error is not None:
        with pytest.raises(error) as caught:
            kind(*arguments, **wishes)
        assert SCANNER.error(caught.value) == []
        return
    submitter = kind(*arguments, **wishes)
    assert (submitter.settings.search is not None) is sought
    assert bool(submitter.settings.routes) is not sought
    assert not SCANNER.text(f"{submitter!r}{submitter.settings!r}")
    assert outside.opened == []  # nobody is asked before the first message


def test_who_names_neither_hears_of_both_ways() -> None:
    with pytest.raises(
        DiscoveryError, match=r"give the address first, or a URL like auto://me%40example\.com@"
    ):
        from_arguments()


def test_it_shows_for_whom_a_server_is_to_be_found_and_then_its_routes() -> None:
    assert repr(Submitter(ME, password=PW)) == "<Submitter for me@example.com>"
    assert repr(AsyncSubmitter.from_url(ME_WITH)) == "<AsyncSubmitter for me@example.com>"
    known = Submitter("me@icloud.com", password=PW)
    assert repr(known) == "<Submitter smtp.mail.me.com:587 starttls>"


def test_a_password_that_a_known_provider_does_not_take_is_told_at_once(outside: Somewhere) -> None:
    for url in (f"auto://me%40outlook.com:{PW}@", f"auto://me:{PW}@outlook.com"):
        with pytest.raises(TokenRequired, match="Nothing was connected") as caught:
            Submitter.from_url(url)
        assert SCANNER.error(caught.value) == []
    Submitter("me@outlook.com", token=PW)
    Submitter("me@outlook.com")  # who only wants to know
    assert outside.opened == []


# What is found is used


def found(sandbox: Sandbox, domain: str, **more: Any) -> Findings:
    route = Route("127.0.0.1", sandbox.port(587), Security.STARTTLS)
    return Findings(domain, (Candidate(route, Source.AUTOCONFIG, Trust.OWNER, **more),))


@pytest.fixture
def finds(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sandbox is what is found, whoever is looked for; for whom, is kept here."""
    searches: list[Any] = []

    async def find_server(search: Any, *, outside: Any) -> Findings:
        searches.append(search)
        return found(sandbox, search.domain)

    monkeypatch.setattr("portmail.pinning.find_server", find_server)
    return searches


SENT: dict[str, tuple[str, dict[str, str]]] = {
    "all in the URL": ("auto://{user}:{pw}@?ca={ca}", {}),
    "the address in the other way": ("auto://me:{pw}@example.org?ca={ca}", {}),
    "the password in the environment": ("auto://{user}@?ca={ca}", {"PORTMAIL_PASSWORD": PASSWORD}),
    "the certificates in the environment": ("auto://{user}:{pw}@", {"PORTMAIL_CA": "{ca}"}),
    "a user name in the environment": (
        "auto://you@example.org?ca={ca}",
        {"PORTMAIL_PASSWORD": PASSWORD, "PORTMAIL_USERNAME": USER},
    ),
}


@pytest.mark.parametrize("case", SENT)
@pytest.mark.parametrize("as_argument", [True, False])
def test_a_script_sends_with_an_address_and_a_password_alone(
    case: str, as_argument: bool, sandbox: Sandbox, finds: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, environ = SENT[case]
    words = {"user": quote(USER, safe=""), "pw": quote(PASSWORD, safe=""), "ca": str(sandbox.ca)}
    for name, value in environ.items():
        monkeypatch.setenv(name, value.format(**words))
    if not as_argument:
        monkeypatch.setenv("PORTMAIL_URL", url.format(**words))
    receipt = portmail.send(
        to="you@example.net", subject="Hello", url=url.format(**words) if as_argument else None
    )
    assert receipt.tls is not None
    assert len(finds) == 1
    assert finds[0].domain == "example.org"
    [message] = sandbox.messages
    assert message.sender == finds[0].address


def test_the_source_says_as_whom_to_log_in(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    async def find_server(search: Any, *, outside: Any) -> Findings:
        return found(sandbox, search.domain, username="%EMAILLOCALPART%@example.org")

    monkeypatch.setattr("portmail.pinning.find_server", find_server)
    with Submitter("me@example.com", password=PASSWORD, tls_ca=sandbox.ca) as submitter:
        findings = submitter.discover()
    assert findings.candidates[0].username == "%EMAILLOCALPART%@example.org"
    receipt = portmail.send(
        to="you@example.net",
        subject="Hello",
        url=f"auto://me%40example.com:{quote(PASSWORD, safe='')}@?ca={sandbox.ca}",
    )
    assert receipt.sender == "me@example.com"


def test_who_is_asked_is_asked_with_the_options_and_certificates_that_were_given(
    sandbox: Sandbox, outside: Somewhere
) -> None:
    discovery = Discovery(sources=["srv", "mx"], resolver="192.0.2.1")
    with pytest.raises(DiscoveryError, match=r"No server found for example\.com"):
        portmail.send(to=ME, subject="Hello", url=f"{ME_WITH}?ca={sandbox.ca}", discovery=discovery)
    [(asked, tls_ca)] = outside.opened
    assert (asked.sources, asked.resolver, tls_ca) == (discovery.sources, "192.0.2.1", Path(sandbox.ca))
    assert set(outside.fake.asked) == {
        ("srv", "_submissions._tcp.example.com"),
        ("srv", "_submission._tcp.example.com"),
        ("mx", "example.com"),
    }


@pytest.mark.parametrize(
    ("answer", "error"), [(Answer.ABSENT, DiscoveryError), (Answer.UNANSWERED, DiscoveryIncomplete)]
)
def test_where_no_server_is_found_no_error_shows_the_password(
    answer: Answer, error: type[DiscoveryError], outside: Somewhere
) -> None:
    outside.fake.answers[("mx", "example.com")] = missed(answer, "it says nothing")
    with pytest.raises(error) as caught:
        portmail.send(to=ME, subject="Hello", url=ME_WITH)
    assert type(caught.value) is error
    assert SCANNER.error(caught.value) == []
    assert "MX example.com: it says nothing" in str(caught.value)
    assert [it.asked for it in caught.value.evidence if it.source is Source.MX] == ["MX example.com"]
