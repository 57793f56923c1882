"""Is an autoconfig file read as it is meant, and anything else refused, in bounded time?"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portmail import Security
from portmail.candidate import FULL_ADDRESS, Answer, Candidate, Login, Rejection, Source, Trust
from portmail.discovery.client_config import MOST, ClientConfig, _tree, offers, read, told
from portmail.discovery.foreign import shown
from portmail.discovery.outside import Missed, Page
from tests.proof import ispdb

IMPLICIT, STARTTLS = Security.IMPLICIT_TLS, Security.STARTTLS

SERVER = {
    "hostname": "smtp.example.com",
    "port": "465",
    "socketType": "SSL",
    "username": "%EMAILADDRESS%",
    "authentication": "password-cleartext",
}


def server(kind: str = "smtp", more: str = "", **fields: str | None) -> str:
    wanted = {**SERVER, **fields}
    inner = "".join(f"<{name}>{text}</{name}>" for name, text in wanted.items() if text is not None)
    return f'<outgoingServer type="{kind}">{inner}{more}</outgoingServer>\n'


def config(*servers: str, version: str = "1.1", domain: str = "example.com") -> bytes:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="{version}">
  <!-- who we are -->
  <emailProvider id="{domain}">
    <domain>{domain}</domain>
    <domain purpose="mx">mx.example.net</domain>
    <displayName>Example &amp; Co</displayName>
    <incomingServer type="imap">
      <hostname>imap.example.com</hostname><port>993</port><socketType>SSL</socketType>
      <username>%EMAILADDRESS%</username><authentication>password-cleartext</authentication>
    </incomingServer>
    {"".join(servers)}
    <documentation url="https://help.example.com/"><descr lang="en">Help</descr></documentation>
  </emailProvider>
  <webMail><loginPage url="https://mail.example.com/"/></webMail>
</clientConfig>
""".encode()


def offered(
    *servers: str, domain: str = "example.com"
) -> tuple[tuple[Candidate, ...], tuple[Rejection, ...]]:
    return offers(read(config(*servers)), domain=domain, source=Source.AUTOCONFIG, trust=Trust.OWNER)


def routes(candidates: tuple[Candidate, ...]) -> list[str]:
    return [f"{it.route}{', derived' if it.derived else ''}" for it in candidates]


def refusal(body: bytes) -> str:
    with pytest.raises(Missed) as info:
        read(body)
    assert info.value.answer in (Answer.UNUSABLE, Answer.ABSENT)
    assert shown(info.value.said) == info.value.said
    return info.value.said


def reason(*servers: str) -> str:
    candidates, [rejection] = offered(*servers)
    assert candidates == ()
    return rejection.reason


def test_both_modes_come_in_the_order_of_the_file() -> None:
    candidates, rejected = offered(
        server(port="587", socketType="STARTTLS"), server(), server(hostname="Backup.Example.NET.")
    )
    assert routes(candidates) == [
        "smtp.example.com:587 starttls",
        "smtp.example.com:465 implicit-tls",
        "backup.example.net:465 implicit-tls",
    ]
    assert rejected == ()
    first = candidates[0]
    assert (first.source, first.trust, first.username) == (Source.AUTOCONFIG, Trust.OWNER, FULL_ADDRESS)


def test_the_mode_is_what_the_file_says_whatever_the_port() -> None:
    candidates, _ = offered(server(port="587"), server(port="465", socketType="STARTTLS"), server(port="586"))
    assert routes(candidates) == [
        "smtp.example.com:587 implicit-tls",
        "smtp.example.com:465 starttls",
        "smtp.example.com:586 implicit-tls",
    ]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"port": "587", "socketType": "plain"}, "listed without TLS"),
        ({"port": "25", "socketType": "plain"}, "listed without TLS"),
        ({"port": "465", "socketType": "plain"}, "listed without TLS"),
        ({"port": "25", "socketType": "STARTTLS"}, "listed on port 25, which is not for submission"),
        ({"port": "25", "socketType": "SSL"}, "listed on port 25, which is not for submission"),
    ],
)
def test_without_tls_or_on_port_25_the_host_alone_is_worth_trying(fields: dict[str, str], why: str) -> None:
    candidates, [rejection] = offered(server(username="%EMAILLOCALPART%", **fields))
    assert routes(candidates) == [
        "smtp.example.com:465 implicit-tls, derived",
        "smtp.example.com:587 starttls, derived",
    ]
    assert {it.derived for it in candidates} == {why}
    assert {it.username for it in candidates} == {"%EMAILLOCALPART%"}
    assert rejection == Rejection(
        f"smtp.example.com:{fields['port']} {fields['socketType']}", Source.AUTOCONFIG, why
    )


def test_a_host_that_is_listed_with_tls_needs_no_hint() -> None:
    plain = server(port="587", socketType="plain")
    candidates, [rejection] = offered(plain, server())
    assert routes(candidates) == ["smtp.example.com:465 implicit-tls"]
    assert rejection.reason == "listed without TLS"


def test_a_route_comes_once() -> None:
    candidates, _ = offered(
        server(), server(username="%EMAILLOCALPART%"), server(hostname="SMTP.example.com")
    )
    assert routes(candidates) == ["smtp.example.com:465 implicit-tls"]
    assert candidates[0].username == FULL_ADDRESS


@pytest.mark.parametrize(
    ("hostname", "host"),
    [
        ("%EMAILDOMAIN%", "example.org"),
        ("mail.%EMAILDOMAIN%", "mail.example.org"),
        ("\n      smtp.example.com\n    ", "smtp.example.com"),
        ("smtp.<!-- really -->example.com", "smtp.example.com"),
        ("smtp.b&#xFC;cher.example", "smtp.xn--bcher-kva.example"),
        ("mail.corp.internal", "mail.corp.internal"),
        ("smtp_1.example.test", "smtp_1.example.test"),
    ],
)
def test_a_host_is_a_name_as_it_is_dialled(hostname: str, host: str) -> None:
    [candidate], rejected = offered(server(hostname=hostname), domain="example.org")
    assert (candidate.route.host, rejected) == (host, ())


@pytest.mark.parametrize(
    ("hostname", "why"),
    [
        ("192.0.2.1", "its host is an IP address, not a name"),
        ("[192.0.2.1]", "its host is an IP address, not a name"),
        ("[2001:db8::1]", "its host is an IP address, not a name"),
        ("::1", "its host is an IP address, not a name"),
        ("fe80::1%eth0", "its host is an IP address, not a name"),
        ("127.1", "its host is an IP address, not a name"),
        ("0x7f.0x1", "its host is an IP address, not a name"),
        ("2130706433", "its host is an IP address, not a name"),
        ("&#65297;&#65298;&#65303;.0.0.1", "its host is no host name"),
        ("localhost", "its host is this machine"),
        ("LocalHost.", "its host is this machine"),
        ("mail.localhost", "its host is this machine"),
        ("mail", "its host is one label, not a full name"),
        ("", "its host is no host name"),
        (".", "its host is no host name"),
        ("smtp..example.com", "its host is no host name"),
        ("-smtp.example.com", "its host is no host name"),
        ("smtp.example.com:465", "its host is no host name"),
        ("https://smtp.example.com", "its host is no host name"),
        ("me:secret@smtp.example.com", "its host is no host name"),
        ("smtp example.com", "its host is no host name"),
        ("smtp.example.com\n.example.net", "its host is no host name"),
        ("smtp.%EMAILLOCALPART%.example.com", "its host is no host name"),
        ("%EMAILADDRESS%", "its host is no host name"),
        ("%MAILHOST%", "its host is no host name"),
        ("a." * 127 + "com", "its host is no host name"),
        ("x" * 300, "its host is no host name"),
    ],
)
def test_a_host_that_no_certificate_is_for_is_rejected(hostname: str, why: str) -> None:
    assert reason(server(hostname=hostname)) == why


@pytest.mark.parametrize("port", ["", "0", "65536", "-465", "4 65", "0x1d1", "465.0", "٤٦٥", "9" * 300])
def test_a_port_that_is_none_is_rejected(port: str) -> None:
    assert reason(server(port=port)) == "its port is no number from 1 to 65535"


@pytest.mark.parametrize(
    ("socket", "why"),
    [
        ("TLSv1", "its socketType is TLSv1"),
        ("", "its socketType is missing"),
        (None, "its socketType is missing"),
        ("&#x202E;SSL", "its socketType is ?SSL"),
    ],
)
def test_a_mode_that_is_unknown_is_rejected(socket: str | None, why: str) -> None:
    assert reason(server(socketType=socket)) == why


@pytest.mark.parametrize(
    ("username", "kept"),
    [
        ("%EMAILADDRESS%", FULL_ADDRESS),
        ("%EMAILLOCALPART%", "%EMAILLOCALPART%"),
        ("%EMAILLOCALPART%.%EMAILDOMAIN%", "%EMAILLOCALPART%.%EMAILDOMAIN%"),
        ("\n %EMAILADDRESS% \n", FULL_ADDRESS),
        ("apikey", "apikey"),
        ("", FULL_ADDRESS),
        (None, FULL_ADDRESS),
    ],
)
def test_a_user_name_stays_a_template(username: str | None, kept: str) -> None:
    [candidate], _ = offered(server(username=username))
    assert candidate.username == kept


@pytest.mark.parametrize(
    "username",
    [
        "%REALNAME%",
        "%EMAILADDRESS%%X%",
        "%EMAILADDRESS%EMAILDOMAIN%",
        "100%",
        "a&#10;b",
        "a&#x7F;b",
        "a&#x2028;b",
        "x" * 256,
    ],
)
def test_a_user_name_that_cannot_be_made_is_rejected(username: str) -> None:
    assert reason(server(username=username)).startswith("its username is")


@pytest.mark.parametrize(
    ("values", "logins"),
    [
        (("password-cleartext",), {Login.PASSWORD}),
        (("plain",), {Login.PASSWORD}),
        (("password-encrypted",), {Login.PASSWORD}),
        (("secure",), {Login.PASSWORD}),
        (("CRAM-MD5",), {Login.PASSWORD}),
        (("OAuth2", "password-cleartext"), {Login.OAUTH2, Login.PASSWORD}),
        (("OAuth2",), {Login.OAUTH2}),
        (("GSSAPI", "NTLM", "OAuth2"), {Login.OAUTH2}),
        (("none",), {Login.NONE}),
        (("client-IP-address",), {Login.NONE}),
        (("smtp-after-pop", "password-cleartext"), {Login.PASSWORD}),
        (("tomorrow's", "password-cleartext"), {Login.PASSWORD}),
        ((), set()),
        (("",), set()),
    ],
)
def test_what_a_server_takes_is_told(values: tuple[str, ...], logins: set[Login]) -> None:
    more = "".join(f"<authentication>{value}</authentication>" for value in values)
    [candidate], _ = offered(server(authentication=None, more=more))
    assert candidate.logins == logins


@pytest.mark.parametrize(
    "values", [("GSSAPI",), ("NTLM", "GSSAPI"), ("TLS-client-cert",), ("smtp-after-pop",), ("x" * 500,)]
)
def test_a_server_that_takes_only_what_we_have_not_is_rejected(values: tuple[str, ...]) -> None:
    more = "".join(f"<authentication>{value}</authentication>" for value in values)
    why = reason(server(authentication=None, more=more))
    assert why == shown(f"it takes only {', '.join(values)}")
    assert len(why) <= 80


def test_one_bad_server_does_not_spoil_the_others() -> None:
    candidates, [rejection] = offered(server(hostname="10.0.0.1"), server())
    assert routes(candidates) == ["smtp.example.com:465 implicit-tls"]
    assert rejection.what == "10.0.0.1:465 SSL"


def test_only_so_many_servers_are_looked_at() -> None:
    candidates, [rejection] = offered(*(server(hostname=f"smtp{n}.example.com") for n in range(MOST + 5)))
    assert len(candidates) == MOST
    assert (rejection.what, rejection.reason) == ("5 more servers", f"no more than {MOST} are looked at")


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "2", ""])
def test_no_version_is_refused(version: str) -> None:
    assert len(read(config(server(), version=version)).servers) == 1


@pytest.mark.parametrize(
    ("named", "domain"),
    [
        ("example.com", "example.com"),
        ("Example.COM", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("example.com", "mx.example.net"),
    ],
)
def test_the_domains_that_it_is_about_are_known(named: str, domain: str) -> None:
    assert read(config(server(), domain=named)).names(domain)


@pytest.mark.parametrize("domain", ["example.org", "com", "", "xn--\x7f", "xn--a", "ü.example", "x" * 300])
def test_other_domains_are_not_among_them(domain: str) -> None:
    assert not read(config(server())).names(domain)


@pytest.mark.parametrize(
    "body",
    [
        config(server()),
        b"\xef\xbb\xbf" + config(server()),
        b" \r\n\t" + config(server()),
        config(server()).partition(b"\n")[2],
        config(server()).replace(b"<clientConfig", b'<clientConfig xmlns="http://example.com/"'),
        config(server()).replace(b"UTF-8", b"us-ascii"),
        config(server(), domain="b\xfccher.example")
        .decode()
        .replace("UTF-8", "iso-8859-15")
        .encode("latin-1"),
        config(server()).decode().encode("utf-16"),
        config(server()).decode().replace("UTF-8", "UTF-16").encode("utf-16"),
        b"\xfe\xff" + config(server()).decode().encode("utf-16-be"),
    ],
    ids=range(10),
)
def test_it_may_begin_and_be_encoded_in_several_ways(body: bytes) -> None:
    assert [it.hostname for it in read(body).servers] == ["smtp.example.com"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html><html><body>Webmail</body></html>",
        b"<html><body>404</body></html>",
        b"  \n<!-- hi --><clientConfig/>",
        b'{"clientConfig": {}}',
        b"not found",
        b"\x00" * 1_000,
        b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'/>",
        config(server()).decode().encode("utf-16-le"),
        config(server()).decode().encode("cp037"),
    ],
    ids=range(10),
)
def test_a_web_page_is_no_configuration(body: bytes) -> None:
    assert refusal(body) == "a web page, not a configuration"


ENTITIES = "".join(f"<!ENTITY {name} '{f'&{before};' * 10}'>" for before, name in pairwise("abcdefghi"))
BOMB = f"""<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa">{ENTITIES}<!ENTITY x SYSTEM "file:///etc/hostname">]>
<clientConfig><emailProvider><outgoingServer type="smtp"><hostname>&i;&x;</hostname></outgoingServer>
</emailProvider></clientConfig>"""


@pytest.mark.parametrize(
    "body",
    [
        BOMB.encode(),
        BOMB.encode("utf-16"),
        b"\xff\xfe" + BOMB.replace("1.0", '1.0" encoding="utf-16').encode("utf-16-le"),
        BOMB.replace('1.0"', '1.0" encoding="iso-8859-2"').encode(),
        config(server()).replace(b"<clientConfig", b'<!DOCTYPE clientConfig SYSTEM "x.dtd"><clientConfig'),
        config(server()).replace(b"<clientConfig", b"<!--" + b"-" * 99_999 + b"-->" + b"<!DOCTYPE a []>\n<a"),
        b"<?xml version='1.0'?><!DOCTYPE html><html></html>",
    ],
    ids=range(7),
)
def test_a_doctype_is_refused_before_anything_is_expanded(body: bytes) -> None:
    started = time.process_time()
    assert refusal(body) == "it has a DOCTYPE, which is refused"
    assert time.process_time() - started < 0.5


def test_expat_is_told_to_refuse_a_doctype_too() -> None:
    with pytest.raises(Missed, match="DOCTYPE"):
        _tree(b"<!DOCTYPE a><a/>")


@pytest.mark.parametrize(
    "body",
    [
        b"<clientConfig>",
        b"<clientConfig></clientconfig>",
        b"<clientConfig/>more",
        b"<clientConfig a='1' a='2'/>",
        b"<clientConfig>&nbsp;</clientConfig>",
        b"<clientConfig>\x00</clientConfig>",
        b"<clientConfig>\xff</clientConfig>",
        b"<clientConfig>&#xD800;</clientConfig>",
        b"<clientConfig>&#0;</clientConfig>",
        b"<?xml version='1.0' encoding='ebcdic-us'?><clientConfig/>",
        b"<?xml version='1.0' encoding='idna'?><clientConfig/>",
        b"<?xml version='1.0' encoding='zlib'?><clientConfig/>",
        b"<?xml version='1.0' encoding='utf-7'?><clientConfig/>",
        b"<?xml version='1.0' encoding='shift_jis'?><clientConfig/>",
        b"<?xml version='1.0' encoding='utf-16'?><clientConfig/>",
        b"<?xml version='1.0'?>",
        b"<?xml",
        b"\xff\xfe<\x00",
    ],
)
def test_what_is_not_well_formed_is_refused(body: bytes) -> None:
    assert refusal(body).startswith(("no well-formed XML", "a web page"))


@pytest.mark.parametrize("root", ["clientConfigs", "ns:clientConfig", "clientConfig.x"])
def test_another_root_is_refused(root: str) -> None:
    assert refusal(f"<?xml version='1.0'?><{root}/>".encode()) == f"its root is {root}"


@pytest.mark.parametrize(
    "servers",
    [
        (),
        (server(kind="exchange"),),
        ("<outgoingServer/>",),
        ('<incomingServer type="smtp"/>',),
        (f"<x>{server()}</x>",),
    ],
)
def test_a_file_that_names_no_outgoing_server_says_that_there_is_none(servers: tuple[str, ...]) -> None:
    with pytest.raises(Missed, match="names no outgoing server") as info:
        read(config(*servers))
    assert info.value.answer is Answer.ABSENT


SIZE = 256 * 1024


@pytest.mark.parametrize(
    "body",
    [
        b"<clientConfig>" + b"<a>" * (SIZE // 3),
        b"<clientConfig>" + b"<a>" * (SIZE // 7) + b"</a>" * (SIZE // 7) + b"</clientConfig>",
        b"<clientConfig a='" + b"x" * SIZE + b"'/>",
        b"<clientConfig " + b" ".join(b"a%d='x'" % n for n in range(SIZE // 11)) + b"/>",
        b"<clientConfig>" + b"&amp;" * (SIZE // 5) + b"</clientConfig>",
        b"<clientConfig>" + b"<!---->" * (SIZE // 7) + b"</clientConfig>",
        # Each name would be as long as the namespace, were it resolved.
        b"<clientConfig xmlns='"
        + b"u" * (SIZE // 2)
        + b"'>"
        + b"".join(b"<t%d/>" % n for n in range(SIZE // 16)),
        b"\xff\xfe" + ("<?xml" * (SIZE // 10)).encode("utf-16-le"),
        b"<?xml" + b" " * SIZE,
        config(*["<domain>b\xfccher.example</domain>"] * (SIZE // 32)),
        config(*[server(hostname="b\xfccher.example")] * (SIZE // 200)),
        config(*["<outgoingServer type='smtp'/>"] * (SIZE // 30)),
        config(*[server(hostname="b\xfccher" * (SIZE // 200))] * 20),
        config(server(hostname="%EMAILDOMAIN%" * (SIZE // 13))),
        config(server(authentication=None, more="<authentication>x</authentication>" * (SIZE // 40))),
        config(server(username="%EMAILADDRESS%" * (SIZE // 14))),
    ],
    ids=range(16),
)
def test_the_largest_body_takes_little_time(body: bytes) -> None:
    started = time.process_time()
    with suppress(Missed):
        offers(read(body), domain="d" * 60 + ".example", source=Source.ISPDB, trust=Trust.DIRECTORY)
    assert time.process_time() - started < 1.0


def test_foreign_text_is_shown_in_one_short_line() -> None:
    assert shown("a\r\nb\x1b[2J\u202e") == "a??b?[2J?"
    assert len(shown("x" * 1_000_000)) == 80


def test_what_came_of_it_is_told_with_the_hosts_and_where_it_was_found() -> None:
    tell = partial(
        told, domain="example.com", source=Source.WELL_KNOWN, trust=Trust.OWNER, asked="https://example.com/x"
    )
    here = ("https://example.com/x",)
    two = read(config(server(), server(hostname="mx.example.net"), server(port="587", socketType="STARTTLS")))
    [evidence] = tell(two, page=Page(b"", here)).evidence
    assert (evidence.answer, evidence.said) == (Answer.FOUND, "names smtp.example.com, mx.example.net")
    [evidence] = tell(two, page=Page(b"", (*here, "https://www.example.com/y"))).evidence
    assert evidence.said.endswith(", redirected to www.example.com")
    none = replace(two, servers=(replace(two.servers[0], hostname="localhost"),))
    [evidence] = tell(none, page=Page(b"", here)).evidence
    assert (evidence.answer, evidence.said) == (Answer.UNUSABLE, "names no server that can be used")


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<&"), max_size=20) | (
    st.sampled_from([*SERVER.values(), "587", "25", "plain", "STARTTLS", "%EMAILDOMAIN%", "127.0.0.1", ""])
)
SERVERS = st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(SERVER, TEXTS)), max_size=4)


def check(parsed: ClientConfig) -> None:
    candidates, rejected = offers(parsed, domain="example.com", source=Source.ISPDB, trust=Trust.DIRECTORY)
    assert len(candidates) <= 2 * MOST
    assert len(rejected) <= MOST + 1
    for candidate in candidates:
        assert candidate.route.security.encrypted
        assert candidate.route.port != 25
        assert "." in candidate.route.host
        assert candidate.username
        assert candidate.username.isprintable()
    for rejection in rejected:
        assert max(len(rejection.what), len(rejection.reason)) <= 120
        assert f"{rejection.what}{rejection.reason}".isprintable()


@settings(max_examples=60, deadline=None)
@given(servers=SERVERS)
def test_no_text_makes_a_candidate_that_could_show_a_password_in_clear(servers: list[dict[str, str]]) -> None:
    try:
        parsed = read(config(*(server(**fields) for fields in servers)))
    except Missed:
        return
    check(parsed)


@settings(max_examples=60, deadline=None)
@given(
    start=st.sampled_from(
        [b"", b"<?xml", b"<?xml version='1.0'?>", b"<clientConfig>", b"\xff\xfe", b"\xfe\xff"]
    ),
    rest=st.binary(max_size=100),
)
def test_any_octets_are_read_or_refused(start: bytes, rest: bytes) -> None:
    try:
        parsed = read(start + rest)
    except Missed:
        return
    check(parsed)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(data: st.DataObject) -> None:
    whole = config(server(), server(port="25", socketType="plain"))
    at = data.draw(st.integers(0, len(whole)))
    cut = data.draw(st.integers(0, 8))
    try:
        parsed = read(whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + cut :])
    except Missed:
        return
    check(parsed)


@pytest.mark.parametrize(("starttls", "verdict"), [(STARTTLS, 0), (IMPLICIT, 1)])
def test_the_proof_over_a_database_sees_a_mode_that_is_misread(
    starttls: Security, verdict: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = {"ssl": IMPLICIT, "starttls": starttls, "plain": Security.PLAINTEXT}
    both = config(server(), server(port="587", socketType="STARTTLS"), server(hostname="mail.%EMAILDOMAIN%"))
    (tmp_path / "both.xml").write_bytes(both)
    (tmp_path / "hint.xml").write_bytes(config(server(port="587", socketType="plain", username=None)))
    monkeypatch.setattr("portmail.discovery.client_config._MODES", modes)
    monkeypatch.setattr("sys.argv", ["ispdb", str(tmp_path)])
    assert ispdb.main() == verdict


def test_the_proof_over_nothing_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["ispdb", str(tmp_path)])
    assert ispdb.main() == 1
