"""The decision table: who says what, and what follows. Each line is a world, and a sentence about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from portmail.candidate import Answer, Source
from portmail.discovery.outside import Mx, Srv
from portmail.discovery.searching import find_server
from portmail.errors import ApprovalRequired, DiscoveryError, DiscoveryIncomplete
from portmail.search import USUAL, Discovery, search_of
from tests.clock import run_fast
from tests.discovery.outside import Fake, missed, records

DOMAIN = "example.com"
AUTOCONFIG = "https://autoconfig.example.com/mail/config-v1.1.xml"
WELL_KNOWN = "https://example.com/.well-known/autoconfig/mail/config-v1.1.xml"
ISPDB = "https://autoconfig.thunderbird.net/v1.1/example.com"
SUBMISSIONS = ("srv", "_submissions._tcp.example.com")
SUBMISSION = ("srv", "_submission._tcp.example.com")
MX = ("mx", DOMAIN)
EVERYBODY = (AUTOCONFIG, WELL_KNOWN, ISPDB, SUBMISSIONS, SUBMISSION, MX)

SILENCE = missed(Answer.UNANSWERED, "no answer")
NOBODY_LISTENS = missed(Answer.REFUSED, "example.com: connection refused")
NOT_THERE = missed(Answer.ABSENT, "404: nothing there", 404)
A_WEB_PAGE = missed(Answer.UNUSABLE, "a web page, not a configuration")
AN_IMPOSTOR = missed(Answer.UNPROVEN, "it is for *.example.com, not for autoconfig.example.com")
CLOSED = records(Srv(0, 0, 0, ""))
AT_GOOGLE = records(Mx(1, "aspmx.l.google.com"))
NO_MAIL = records(Mx(0, ""))


def xml(*servers: str, domain: str = DOMAIN) -> bytes:
    """A configuration; a server is `host port mode`."""
    listed = "".join(
        f'<outgoingServer type="smtp"><hostname>{host}</hostname><port>{port}</port>'
        f"<socketType>{mode}</socketType><authentication>password-cleartext</authentication>"
        "<username>%EMAILADDRESS%</username></outgoingServer>"
        for host, port, mode in map(str.split, servers)
    )
    provider = f'<emailProvider id="it"><domain>{domain}</domain>{listed}</emailProvider>'
    return f'<?xml version="1.0"?><clientConfig version="1.1">{provider}</clientConfig>'.encode()


OWN = xml("mail.example.com 465 SSL")
FOREIGN = xml("mail.hoster.net 465 SSL")


def at(host: str, port: int = 465, *, signed: bool = False) -> Any:
    """An SRV record of that host."""
    return records(Srv(0, 1, port, host), signed=signed)


@dataclass(frozen=True)
class World:
    """Who says what; what is wished for; and what follows: routes in order, or an error."""

    says: Mapping[Any, Any]
    then: tuple[str, ...] | type[DiscoveryError]
    by: Source | None = None
    wishes: Mapping[str, Any] = field(default_factory=dict)
    unasked: tuple[Any, ...] = ()


def with_also(*sources: Source) -> dict[str, Any]:
    return {"discovery": Discovery(sources=USUAL | set(sources))}


GUESSING = with_also(Source.GUESS)
BOTH = ("mail.example.com:465 implicit-tls", "mail.example.com:587 starttls")
AT_HOSTER = ("mail.hoster.net:465 implicit-tls", "mail.hoster.net:587 starttls")
GMAIL = ("smtp.gmail.com:465 implicit-tls", "smtp.gmail.com:587 starttls")
GUESSED = (
    "smtp.example.com:465 implicit-tls",
    "smtp.example.com:587 starttls",
    "mail.example.com:465 implicit-tls",
    "mail.example.com:587 starttls",
)

TABLE: Mapping[str, World] = {
    # Whose word is used.
    "autoconfig over https from the domain is used": World({AUTOCONFIG: OWN}, BOTH, Source.AUTOCONFIG),
    "it may name a host in another domain: the owner says so": World(
        {AUTOCONFIG: FOREIGN}, AT_HOSTER, Source.AUTOCONFIG
    ),
    "the well-known place is used": World({WELL_KNOWN: FOREIGN}, AT_HOSTER, Source.WELL_KNOWN),
    "autoconfig comes before the well-known place": World(
        {AUTOCONFIG: OWN, WELL_KNOWN: FOREIGN}, BOTH, Source.AUTOCONFIG
    ),
    "the well-known place comes before signed SRV": World(
        {WELL_KNOWN: OWN, SUBMISSIONS: at("mail.hoster.net", signed=True)}, BOTH, Source.WELL_KNOWN
    ),
    "signed SRV may name a host in another domain": World(
        {SUBMISSIONS: at("mail.hoster.net", signed=True)}, AT_HOSTER, Source.SRV
    ),
    "signed SRV comes before MX": World(
        {SUBMISSIONS: at("mail.hoster.net", signed=True), MX: AT_GOOGLE}, AT_HOSTER, Source.SRV
    ),
    "MX leads to a provider in the table": World({MX: AT_GOOGLE}, GMAIL, Source.MX),
    "MX comes before the ISP database": World({MX: AT_GOOGLE, ISPDB: FOREIGN}, GMAIL, Source.MX),
    "MX comes before unsigned SRV": World(
        {MX: AT_GOOGLE, SUBMISSIONS: at("mail.example.com")}, GMAIL, Source.MX
    ),
    "MX elsewhere leads nowhere": World({MX: records(Mx(1, "mx.hoster.net"))}, DiscoveryError),
    "a domain that takes no mail has no provider by MX": World({MX: NO_MAIL}, DiscoveryError),
    "the ISP database is used": World({ISPDB: FOREIGN}, AT_HOSTER, Source.ISPDB),
    "but not what it says of other domains": World(
        {ISPDB: xml("mail.hoster.net 465 SSL", domain="example.net")}, DiscoveryError
    ),
    "it can be left out": World(
        {ISPDB: FOREIGN},
        DiscoveryError,
        wishes={"discovery": Discovery(sources=USUAL - {Source.ISPDB})},
        unasked=(ISPDB,),
    ),
    "the ISP database comes before unsigned SRV": World(
        {ISPDB: FOREIGN, SUBMISSIONS: at("mail.example.com")}, AT_HOSTER, Source.ISPDB
    ),
    "unsigned SRV within the domain is used": World(
        {SUBMISSIONS: at("mail.example.com")}, ("mail.example.com:465 implicit-tls",), Source.SRV
    ),
    "the domain itself is within the domain": World(
        {SUBMISSION: at(DOMAIN, 587)}, ("example.com:587 starttls",), Source.SRV
    ),
    # What needs the user's word.
    "unsigned SRV to another domain needs approval": World(
        {SUBMISSIONS: at("mail.hoster.net")}, ApprovalRequired
    ),
    "a domain whose name only ends alike is another domain": World(
        {SUBMISSIONS: at("mail.badexample.com")}, ApprovalRequired
    ),
    "an approved host is used": World(
        {SUBMISSIONS: at("mail.hoster.net")},
        ("mail.hoster.net:465 implicit-tls",),
        Source.SRV,
        {"approve": "mail.hoster.net"},
    ),
    "however it is written": World(
        {SUBMISSIONS: at("mail.hoster.net")},
        ("mail.hoster.net:465 implicit-tls",),
        wishes={"approve": ["Mail.Hoster.NET."]},
    ),
    "a function may approve": World(
        {SUBMISSIONS: at("mail.hoster.net")},
        ("mail.hoster.net:465 implicit-tls",),
        wishes={"approve": lambda candidate: candidate.route.host.endswith(".hoster.net")},
    ),
    "a function that does not say yes has not approved": World(
        {SUBMISSIONS: at("mail.hoster.net")}, ApprovalRequired, wishes={"approve": lambda _candidate: None}
    ),
    "approval of one host is none of another": World(
        {SUBMISSIONS: at("mail.hoster.net")}, ApprovalRequired, wishes={"approve": "hoster.net"}
    ),
    "within the domain and beyond it: what is beyond is left out": World(
        {SUBMISSIONS: records(Srv(0, 1, 465, "mail.hoster.net"), Srv(1, 1, 465, "mail.example.com"))},
        ("mail.example.com:465 implicit-tls",),
    ),
    # Ports and modes.
    "the mode comes from the source, not from the port": World(
        {AUTOCONFIG: xml("mail.example.com 587 SSL", "mail.example.com 465 STARTTLS")},
        ("mail.example.com:587 implicit-tls", "mail.example.com:465 starttls"),
    ),
    "the label says the mode": World(
        {SUBMISSIONS: at("mail.example.com", 587)}, ("mail.example.com:587 implicit-tls",)
    ),
    "a missing mode is added on the same host": World(
        {AUTOCONFIG: xml("mail.example.com 587 STARTTLS")}, BOTH[::-1]
    ),
    "but not to unsigned SRV": World(
        {SUBMISSION: at("mail.example.com", 587)}, ("mail.example.com:587 starttls",)
    ),
    "nor where the owner says that the other is not offered": World(
        {SUBMISSIONS: at("mail.example.com", signed=True), SUBMISSION: CLOSED},
        ("mail.example.com:465 implicit-tls",),
    ),
    "nor to a host that is known to have no other": World(
        {AUTOCONFIG: xml("smtp.office365.com 587 STARTTLS")}, ("smtp.office365.com:587 starttls",)
    ),
    "port 25 is never added, and never used": World({SUBMISSION: at("mail.example.com", 25)}, DiscoveryError),
    "other ports come only from the provider's entry, and last": World(
        {AUTOCONFIG: xml("smtp.sendgrid.net 587 STARTTLS")},
        (
            "smtp.sendgrid.net:587 starttls",
            "smtp.sendgrid.net:465 implicit-tls",
            "smtp.sendgrid.net:2525 starttls",
        ),
    ),
    "implicit TLS comes first within a host, whatever the file says": World(
        {AUTOCONFIG: xml("mail.example.com 587 STARTTLS", "mail.example.com 465 SSL")}, BOTH
    ),
    "the order of hosts is the source's": World(
        {AUTOCONFIG: xml("b.example.com 587 STARTTLS", "a.example.com 465 SSL")},
        (
            "b.example.com:587 starttls",
            "b.example.com:465 implicit-tls",
            "a.example.com:465 implicit-tls",
            "a.example.com:587 starttls",
        ),
    ),
    "a plaintext entry is a hint at the host alone": World({ISPDB: xml("mail.example.com 587 plain")}, BOTH),
    "a plaintext entry on port 25 as well": World({ISPDB: xml("mail.example.com 25 plain")}, BOTH),
    "no more than six routes are tried": World(
        {SUBMISSIONS: records(*(Srv(n, 1, 465, f"m{n}.example.com") for n in range(8)))},
        tuple(f"m{n}.example.com:465 implicit-tls" for n in range(6)),
    ),
    # Bad answers.
    "an SRV target that is an address is left out": World({SUBMISSIONS: at("192.0.2.1")}, DiscoveryError),
    "an SRV target that is this machine is left out": World({SUBMISSIONS: at("localhost")}, DiscoveryError),
    "an SRV target that is an alias is left out": World(
        {SUBMISSIONS: at("mail.example.com"), ("alias", "mail.example.com"): "host.hoster.net"},
        DiscoveryError,
    ),
    "a web page in place of a configuration says nothing": World(
        {AUTOCONFIG: A_WEB_PAGE, SUBMISSION: at("mail.example.com", 587)}, ("mail.example.com:587 starttls",)
    ),
    "what cannot prove its name says nothing": World(
        {AUTOCONFIG: AN_IMPOSTOR, SUBMISSION: at("mail.example.com", 587)}, ("mail.example.com:587 starttls",)
    ),
    # Who did not answer.
    "nobody knows anything": World({}, DiscoveryError),
    **{
        f"silence of {who} is a temporary error": World({question: SILENCE}, DiscoveryIncomplete)
        for who, question in zip(
            ("autoconfig", "the well-known place", "the ISP database", "_submissions", "_submission", "MX"),
            EVERYBODY,
            strict=True,
        )
    },
    "a time-out is never a licence to guess": World(
        {AUTOCONFIG: SILENCE}, DiscoveryIncomplete, wishes=GUESSING
    ),
    "an impostor is no licence to guess": World({AUTOCONFIG: AN_IMPOSTOR}, DiscoveryError, wishes=GUESSING),
    "a time-out does not stand in the way of the ISP database": World(
        {AUTOCONFIG: SILENCE, ISPDB: FOREIGN}, AT_HOSTER
    ),
    "nor of MX": World({WELL_KNOWN: SILENCE, MX: AT_GOOGLE}, GMAIL),
    "but unsigned SRV is not believed while the owner's word may be held up": World(
        {WELL_KNOWN: SILENCE, SUBMISSIONS: at("mail.example.com")}, DiscoveryIncomplete
    ),
    "unless its host is approved": World(
        {WELL_KNOWN: SILENCE, SUBMISSIONS: at("mail.example.com")},
        ("mail.example.com:465 implicit-tls",),
        wishes={"approve": "mail.example.com"},
    ),
    "a web server that is not there holds up nothing": World(
        {WELL_KNOWN: NOBODY_LISTENS, SUBMISSIONS: at("mail.example.com")},
        ("mail.example.com:465 implicit-tls",),
    ),
    "nor does silence of those whose word is not the owner's": World(
        {ISPDB: SILENCE, MX: SILENCE, SUBMISSIONS: at("mail.example.com")},
        ("mail.example.com:465 implicit-tls",),
    ),
    "a web server that is not there is no licence to guess": World(
        {WELL_KNOWN: NOBODY_LISTENS}, DiscoveryError, wishes=GUESSING
    ),
    "approval is not asked for while somebody is silent who would know": World(
        {AUTOCONFIG: SILENCE, SUBMISSIONS: at("mail.hoster.net")}, DiscoveryIncomplete
    ),
    "but what is approved is used": World(
        {AUTOCONFIG: SILENCE, SUBMISSIONS: at("mail.hoster.net")},
        ("mail.hoster.net:465 implicit-tls",),
        wishes={"approve": "mail.hoster.net"},
    ),
    # Guesses.
    "nothing is guessed unasked": World({}, DiscoveryError, unasked=(("alias", "smtp.example.com"),)),
    "guesses are made on wish": World({}, GUESSED, Source.GUESS, GUESSING),
    "of names that are there": World({("alias", "smtp.example.com"): missed()}, GUESSED[2:], wishes=GUESSING),
    "not found is a definite negative": World(
        {AUTOCONFIG: NOT_THERE, WELL_KNOWN: A_WEB_PAGE}, GUESSED, wishes=GUESSING
    ),
    "nothing is guessed where the owner says that nothing is offered": World(
        {SUBMISSION: CLOSED}, DiscoveryError, wishes=GUESSING
    ),
    "nor where somebody knows": World(
        {ISPDB: FOREIGN}, AT_HOSTER, wishes=GUESSING, unasked=(("alias", "smtp.example.com"),)
    ),
    "nor in place of what needs approval": World(
        {SUBMISSIONS: at("mail.hoster.net")}, ApprovalRequired, wishes=GUESSING
    ),
}


@pytest.mark.parametrize("world", TABLE.values(), ids=TABLE.keys())
def test_the_decision(world: World) -> None:
    outside = Fake(world.says)
    search = search_of(f"me@{DOMAIN}", **world.wishes)
    if isinstance(world.then, type):
        with pytest.raises(world.then) as raised:
            run_fast(find_server(search, outside=outside))
        assert type(raised.value) is world.then
        assert raised.value.evidence
    else:
        findings = run_fast(find_server(search, outside=outside))
        assert tuple(str(it.route) for it in findings.candidates) == world.then
        assert world.by in (None, findings.candidates[0].source)
        assert len({(it.source, it.trust) for it in findings.candidates}) == 1
    assert not set(world.unasked) & set(outside.asked)
