"""In which order are a domain's SRV records tried, which are not used, and how far are they trusted?"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portmail.candidate import FULL_ADDRESS, Answer, Evidence, Finding, Source, Trust
from portmail.discovery import srv
from portmail.discovery.outside import Missed, Records, Srv
from tests.discovery.outside import Fake, Said, missed, records

TLS_FIRST, TLS_LATER = "_submissions._tcp.example.com", "_submission._tcp.example.com"
BOTH_LABELS = pytest.mark.parametrize(
    ("label", "security"), [(TLS_FIRST, "implicit-tls"), (TLS_LATER, "starttls")]
)
NOT_OFFERED = Srv(0, 0, 0, "")


def find(answers: Mapping[Any, Said]) -> tuple[Finding, Fake]:
    outside = Fake(answers)
    return asyncio.run(srv.find("example.com", outside=outside)), outside


def found(
    *services: Srv, label: str = TLS_FIRST, aliases: Mapping[str, Said] | None = None
) -> tuple[Finding, Fake]:
    """What comes of these records of one label; `aliases` is what is said of their targets."""
    answers = {("alias", host): said for host, said in (aliases or {}).items()}
    return find({("srv", label): records(*services), **answers})


def routes(finding: Finding) -> list[str]:
    return [str(it.route) for it in finding.candidates]


def at(host: str, *, priority: int = 0, weight: int = 0, port: int = 465) -> Srv:
    return Srv(priority, weight, port, host)


def service(number: int, *, weight: int, priority: int = 0) -> Srv:
    return at(f"smtp{number}.example.com", priority=priority, weight=weight)


class Lot:
    """Draws these numbers, one after the other, and keeps between which ones it was to draw."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = iter(numbers)
        self.bounds: list[tuple[int, int]] = []

    def __call__(self, low: int, high: int) -> int:
        self.bounds.append((low, high))
        return next(self._numbers)


def first(services: Sequence[Srv], *, drawn: int) -> Srv:
    """Which comes first where the first number drawn is this one."""
    numbers = iter([drawn])
    return srv.in_order(services, draw=lambda low, _: next(numbers, low))[0]


SERVICES = st.lists(
    st.builds(
        Srv,
        priority=st.integers(0, 3),
        weight=st.integers(0, 4) | st.integers(0, 65535),
        port=st.just(465),
        target=st.sampled_from([f"smtp{number}.example.com" for number in range(9)]),
    ),
    max_size=12,
)


@settings(max_examples=50)
@given(SERVICES, st.data())
def test_whatever_is_drawn_each_is_there_once_and_by_priority(
    services: list[Srv], data: st.DataObject
) -> None:
    ordered = srv.in_order(services, draw=lambda low, high: data.draw(st.integers(low, high)))
    assert Counter(ordered) == Counter(services)
    priorities = [it.priority for it in ordered]
    assert priorities == sorted(priorities)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6, unique=True), st.randoms(use_true_random=False))
def test_each_comes_first_as_often_as_its_weight_says(weights: list[int], random: Any) -> None:
    services = [service(number, weight=weight) for number, weight in enumerate([0, *weights])]
    random.shuffle(services)
    firsts = Counter(first(services, drawn=number).weight for number in range(sum(weights) + 1))
    # Of all numbers there are, the one of no weight has 0, and each other as many as its weight.
    assert firsts == {0: 1, **{weight: weight for weight in weights}}


@pytest.mark.parametrize(
    ("drawn", "host"), [(0, "zero"), (1, "one"), (2, "three"), (4, "three"), (5, "six"), (10, "six")]
)
def test_a_number_falls_to_the_first_whose_running_sum_is_not_below_it(drawn: int, host: str) -> None:
    services = [at("six", weight=6), at("three", weight=3), at("one", weight=1), at("zero", weight=0)]
    assert first(services, drawn=drawn).target == host


def test_those_of_no_weight_stand_first_in_the_list_and_so_come_first_only_where_0_is_drawn() -> None:
    services = [at("some", weight=1), at("none", weight=0), at("neither", weight=0)]
    assert [it.target for it in srv.in_order(services, draw=Lot(0, 0, 0))] == ["none", "neither", "some"]
    assert [it.target for it in srv.in_order(services, draw=Lot(1, 0, 0))] == ["some", "none", "neither"]


def test_each_number_is_drawn_from_0_to_the_sum_of_the_weights_that_are_left() -> None:
    lot = Lot(9, 3, 0)
    services = [service(1, weight=2), service(2, weight=6), service(3, weight=1)]
    assert [it.weight for it in srv.in_order(services, draw=lot)] == [6, 2, 1]
    assert lot.bounds == [(0, 9), (0, 3), (0, 1)]


def test_a_lot_is_drawn_within_a_priority_alone() -> None:
    lot = Lot(0, 5, 0)
    services = [
        service(1, weight=7, priority=5),
        service(2, weight=2, priority=9),
        service(3, weight=5, priority=9),
    ]
    assert [it.weight for it in srv.in_order(services, draw=lot)] == [7, 5, 2]
    assert lot.bounds == [(0, 7), (0, 7), (0, 2)]


def test_no_weight_makes_up_for_a_worse_priority() -> None:
    services = [service(1, weight=65535, priority=2), service(2, weight=0, priority=1)]
    assert {first(services, drawn=number).priority for number in (0,)} == {1}


def test_the_lot_is_really_drawn() -> None:
    services = [service(1, weight=1), service(2, weight=1)]
    orders = {tuple(srv.in_order(services)) for _ in range(200)}  # one chance in 10^35 that it fails
    assert len(orders) == 2


def test_no_records_have_no_order() -> None:
    assert srv.in_order([]) == []


def test_the_records_of_a_domain_are_tried_in_that_order(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Sequence[Srv]] = []

    def backwards(services: Sequence[Srv]) -> list[Srv]:
        seen.append(services)
        return list(services)[::-1]

    monkeypatch.setattr(srv, "in_order", backwards)
    finding, _ = found(at("a.example.com"), at("b.example.com"))
    assert [it.route.host for it in finding.candidates] == ["b.example.com", "a.example.com"]
    assert len(seen) == 1


def test_candidates_come_by_priority() -> None:
    finding, _ = found(
        at("c.example.com", priority=30), at("a.example.com", priority=1), at("b.example.com", priority=2)
    )
    assert [it.route.host[0] for it in finding.candidates] == ["a", "b", "c"]


@BOTH_LABELS
@pytest.mark.parametrize("port", [465, 587, 2525, 1, 65535])
def test_the_label_says_the_mode_whatever_the_port(label: str, security: str, port: int) -> None:
    finding, _ = found(at("smtp.example.com", port=port), label=label)
    assert routes(finding) == [f"smtp.example.com:{port} {security}"]


def test_both_labels_are_asked_and_that_of_tls_from_the_first_octet_comes_first() -> None:
    finding, outside = find(
        {
            ("srv", TLS_LATER): records(at("b.example.com", port=587)),
            ("srv", TLS_FIRST): records(at("a.example.com", priority=99)),
        }
    )
    assert outside.asked[:2] == [("srv", TLS_FIRST), ("srv", TLS_LATER)]
    assert routes(finding) == ["a.example.com:465 implicit-tls", "b.example.com:587 starttls"]
    assert [it.asked for it in finding.evidence] == [f"SRV {TLS_FIRST}", f"SRV {TLS_LATER}"]


def test_both_labels_are_asked_at_once() -> None:
    class Together(Fake):
        """Answers nobody before both have asked."""

        def __init__(self) -> None:
            super().__init__()
            self._both = asyncio.Barrier(2)

        async def srv(self, name: str) -> Records[Srv]:
            async with asyncio.timeout(2):
                await self._both.wait()
            return await super().srv(name)

    finding = asyncio.run(srv.find("example.com", outside=Together()))
    assert [it.answer for it in finding.evidence] == [Answer.ABSENT, Answer.ABSENT]


def test_nothing_else_is_asked_than_the_two_labels_and_whether_the_targets_are_aliases() -> None:
    _, outside = found(at("smtp.example.com"))
    assert outside.asked == [("srv", TLS_FIRST), ("srv", TLS_LATER), ("alias", "smtp.example.com")]


@pytest.mark.parametrize(("signed", "trust"), [(True, Trust.OWNER), (False, Trust.UNSIGNED)])
def test_signed_records_are_the_owners_word_and_others_anybodys(signed: bool, trust: Trust) -> None:
    finding, _ = find({("srv", TLS_FIRST): records(at("smtp.example.net"), signed=signed)})
    [candidate] = finding.candidates
    assert (candidate.trust, candidate.source, candidate.username) == (trust, Source.SRV, FULL_ADDRESS)
    assert (candidate.logins, candidate.derived) == (frozenset(), "")
    assert finding.evidence[0].trust is trust
    assert finding.evidence[0].said.endswith(", validated by DNSSEC") is signed


def test_one_label_may_be_signed_and_the_other_not() -> None:
    finding, _ = find(
        {
            ("srv", TLS_FIRST): records(at("a.example.net"), signed=False),
            ("srv", TLS_LATER): records(at("b.example.net"), signed=True),
        }
    )
    assert [it.trust for it in finding.candidates] == [Trust.UNSIGNED, Trust.OWNER]


@pytest.mark.parametrize("answer", [Answer.ABSENT, Answer.UNANSWERED, Answer.UNUSABLE])
def test_an_answer_that_was_missed_is_told_as_it_was_and_trusted_by_nobody(answer: Answer) -> None:
    said = missed(answer, "something happened")
    finding, _ = find({("srv", TLS_FIRST): said, ("srv", TLS_LATER): said})
    asked = (f"SRV {TLS_FIRST}", f"SRV {TLS_LATER}")
    assert finding == Finding(
        evidence=tuple(Evidence(Source.SRV, it, answer, "something happened", Trust.UNSIGNED) for it in asked)
    )


def test_a_label_that_nobody_answers_for_does_not_take_the_other_one_along() -> None:
    finding, _ = find(
        {
            ("srv", TLS_FIRST): missed(Answer.UNANSWERED, "no answer"),
            ("srv", TLS_LATER): records(at("smtp.example.com", port=587)),
        }
    )
    assert routes(finding) == ["smtp.example.com:587 starttls"]
    assert [it.answer for it in finding.evidence] == [Answer.UNANSWERED, Answer.FOUND]


@pytest.mark.parametrize(("signed", "trust"), [(True, Trust.OWNER), (False, Trust.UNSIGNED)])
def test_a_dot_alone_says_that_the_service_is_decidedly_not_there(signed: bool, trust: Trust) -> None:
    finding, outside = find({("srv", TLS_FIRST): records(NOT_OFFERED, signed=signed, lifetime=60)})
    assert finding.evidence[0] == Evidence(
        Source.SRV, f"SRV {TLS_FIRST}", Answer.NOT_OFFERED, "decidedly not offered", trust
    )
    assert (finding.candidates, finding.rejected, finding.lifetime) == ((), (), 60)
    assert outside.asked == [("srv", TLS_FIRST), ("srv", TLS_LATER)]


def test_a_dot_at_one_label_leaves_the_other_one_its_servers() -> None:
    finding, _ = find(
        {
            ("srv", TLS_FIRST): records(NOT_OFFERED),
            ("srv", TLS_LATER): records(at("smtp.example.com", port=587)),
        }
    )
    assert routes(finding) == ["smtp.example.com:587 starttls"]
    assert [it.answer for it in finding.evidence] == [Answer.NOT_OFFERED, Answer.FOUND]


def test_a_dot_among_other_targets_is_rejected_and_the_others_are_used() -> None:
    finding, outside = found(NOT_OFFERED, at("smtp.example.com"))
    assert routes(finding) == ["smtp.example.com:465 implicit-tls"]
    [rejection] = finding.rejected
    assert (rejection.what, rejection.source, rejection.reason) == (
        ".:0",
        Source.SRV,
        "a dot among other targets",
    )
    assert finding.evidence[0].answer is Answer.FOUND
    assert ("alias", "") not in outside.asked


NO_HOST = "its host is no host name"
AN_ADDRESS = "its host is an IP address, not a name"
THIS_MACHINE = "its host is this machine"
ONE_LABEL = "its host is one label, not a full name"
RELAY = "port 25 is for relays, not for submission (RFC 6409)"

MALFORMED: dict[str, tuple[Srv, str]] = {
    "an IPv4 address": (at("192.0.2.1"), AN_ADDRESS),
    "an IPv6 address": (at("2001:db8::1"), AN_ADDRESS),
    "an IPv6 address in brackets": (at("[2001:db8::1]"), AN_ADDRESS),
    "an address too short for ipaddress, not for others": (at("127.1"), AN_ADDRESS),
    "an address as one number": (at("2130706433"), AN_ADDRESS),
    "an address beyond its bounds": (at("192.0.2.256"), AN_ADDRESS),
    "an address whose last number is hexadecimal": (at("127.0.0.0x1"), AN_ADDRESS),
    "an address as one hexadecimal number": (at("0x7f000001"), AN_ADDRESS),
    "localhost": (at("localhost"), THIS_MACHINE),
    "a name in localhost": (at("smtp.localhost"), THIS_MACHINE),
    "one label": (at("smtp"), ONE_LABEL),
    "port 25": (at("smtp.example.com", port=25), RELAY),
    "port 0": (at("smtp.example.com", port=0), "0 is no port"),
    "a space in the name": (at("smtp example.com"), NO_HOST),
    "an empty label": (at("smtp..example.com"), NO_HOST),
    "a wildcard": (at("*.example.com"), NO_HOST),
    "a hyphen in front": (at("-smtp.example.com"), NO_HOST),
    "a label too long": (at(f"{'a' * 64}.com"), NO_HOST),
    "a control character": (at("\x1b[2J.example.com"), NO_HOST),
}


@BOTH_LABELS
@pytest.mark.parametrize("case", MALFORMED)
def test_what_no_server_can_be_called_is_rejected_without_asking_for_it(
    case: str, label: str, security: str
) -> None:
    record, reason = MALFORMED[case]
    finding, outside = found(record, at("smtp.example.com"), label=label)
    assert routes(finding) == [f"smtp.example.com:465 {security}"]
    assert [(it.what, it.source, it.reason) for it in finding.rejected] == [
        (f"{record.target}:{record.port}".replace("\x1b", "?"), Source.SRV, reason)
    ]
    assert [it for it in outside.asked if it[0] == "alias"] == [("alias", "smtp.example.com")]


@pytest.mark.parametrize(
    "host",
    [
        "smtp.notlocalhost",
        "localhost.example.com",
        "1.example.com",
        "a_b.example.com",
        "smtp.x1",
        "0x1.example.com",
    ],
)
def test_names_that_only_look_like_those_are_used(host: str) -> None:
    finding, _ = found(at(host))
    assert (routes(finding), finding.rejected) == ([f"{host}:465 implicit-tls"], ())


def test_a_domain_whose_records_are_all_rejected_was_answered_all_the_same() -> None:
    finding, _ = found(at("192.0.2.1"))
    assert finding.candidates == ()
    assert (finding.evidence[0].answer, finding.evidence[0].said) == (Answer.FOUND, "192.0.2.1:465")


def test_a_target_that_is_an_alias_is_rejected_with_the_name_behind_it() -> None:
    answers: dict[str, Said] = {"smtp.example.com": "host7.example.net"}
    finding, _ = found(at("smtp.example.com"), at("mail.example.com"), aliases=answers)
    assert routes(finding) == ["mail.example.com:465 implicit-tls"]
    [rejection] = finding.rejected
    assert rejection.what == "smtp.example.com:465"
    assert rejection.reason == "an alias of host7.example.net: RFC 2782 wants the host itself"


def test_a_target_that_does_not_exist_is_rejected() -> None:
    answers: dict[str, Said] = {"gone.example.com": missed()}
    finding, _ = found(at("gone.example.com"), at("smtp.example.com"), aliases=answers)
    assert routes(finding) == ["smtp.example.com:465 implicit-tls"]
    assert [(it.what, it.reason) for it in finding.rejected] == [
        ("gone.example.com:465", "the host does not exist")
    ]


@pytest.mark.parametrize("answer", [it for it in Answer if it is not Answer.ABSENT])
def test_that_nobody_says_whether_a_target_is_an_alias_says_nothing_against_it(answer: Answer) -> None:
    answers: dict[str, Said] = {"smtp.example.com": missed(answer, "no answer")}
    finding, _ = found(at("smtp.example.com"), aliases=answers)
    assert (routes(finding), finding.rejected) == (["smtp.example.com:465 implicit-tls"], ())


def test_of_50_records_the_8_that_come_first_are_looked_at() -> None:
    services = [at(f"smtp{number}.example.com", priority=50 - number) for number in range(50)]
    finding, outside = found(*services)
    first_eight = [f"smtp{number}.example.com" for number in range(49, 41, -1)]
    assert [it.route.host for it in finding.candidates] == first_eight
    assert [it[1] for it in outside.asked if it[0] == "alias"] == first_eight
    assert finding.evidence[0].said.startswith(
        "smtp0.example.com:465, smtp1.example.com:465, smtp2.example.com"
    )
    assert finding.evidence[0].said.endswith(" and 47 more")


def test_8_records_are_all_looked_at_also_where_some_are_rejected() -> None:
    services = [at("127.1", priority=number) for number in range(7)]
    finding, _ = found(*services, at("smtp.example.com", priority=7))
    assert routes(finding) == ["smtp.example.com:465 implicit-tls"]
    assert len(finding.rejected) == 7


@pytest.mark.parametrize(
    ("number", "more"), [(1, ""), (2, ""), (3, ""), (4, " and 1 more"), (5, " and 2 more")]
)
def test_the_evidence_names_3_records_and_counts_the_others(number: int, more: str) -> None:
    finding, _ = found(*(at(f"smtp{it}.example.com") for it in range(number)))
    named = ", ".join(f"smtp{it}.example.com:465" for it in range(min(number, 3)))
    assert finding.evidence[0].said == f"{named}{more}"


LONG = ".".join(["a" * 60] * 4)


@pytest.mark.parametrize(
    ("host", "answers"),
    [(LONG, {}), (f"\x1b[2J{LONG}", {}), ("smtp.example.com", {"smtp.example.com": LONG})],
    ids=["a long target", "a target that a terminal obeys", "a long name behind an alias"],
)
def test_no_more_than_80_printable_characters_of_foreign_names_are_shown(
    host: str, answers: dict[str, Said]
) -> None:
    finding, _ = found(at(host), at(host, priority=1), at(host, priority=2), aliases=answers)
    told = [*(it.said for it in finding.evidence), *(f"{it.what}{it.reason}" for it in finding.rejected)]
    assert all(text.isprintable() for text in told)
    assert max(map(len, told)) <= 80 + 80


LIFETIMES: dict[str, tuple[Records[Srv] | Missed, Records[Srv] | Missed, float | None]] = {
    "the shorter one counts": (
        records(at("a.example.com"), lifetime=900),
        records(at("b.example.com"), lifetime=60),
        60,
    ),
    "the shorter one counts, also where it comes first": (
        records(at("a.example.com"), lifetime=60),
        records(at("b.example.com"), lifetime=900),
        60,
    ),
    "that of one label alone": (records(at("a.example.com"), lifetime=900), missed(), 900),
    "that of the other alone": (missed(), records(at("a.example.com"), lifetime=900), 900),
    "none at all is as short as can be": (
        records(at("a.example.com"), lifetime=0),
        records(at("b.example.com"), lifetime=900),
        0,
    ),
    "a dot has one, too": (
        records(NOT_OFFERED, lifetime=60),
        records(at("b.example.com"), lifetime=900),
        60,
    ),
    "nothing has the usual one": (missed(), missed(), None),
}


@pytest.mark.parametrize("case", LIFETIMES)
def test_a_finding_is_believed_as_long_as_its_records(case: str) -> None:
    one, other, lifetime = LIFETIMES[case]
    finding, _ = find({("srv", TLS_FIRST): one, ("srv", TLS_LATER): other})
    assert finding.lifetime == lifetime
