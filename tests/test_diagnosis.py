"""What is the matter, who stands in the way, what is to be done? The decision table, as data."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta
from string import Formatter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portmail.case import Surroundings
from portmail.cause import Cause
from portmail.certificate import Certificate
from portmail.diagnosis import Diagnosis, LoginOutcome, diagnose
from portmail.failure import Failure, Phase
from portmail.language import english
from portmail.phrase import Phrase
from portmail.reply import Reply
from portmail.route import Route, routes_to
from portmail.security import Security
from portmail.seen import Seen, open_ways
from portmail.situation import MAIL_GOES_OUT, Situation
from portmail.story import Note
from portmail.url import parse_url
from tests.verdicts.closed_ways import FIREWALLS, NETWORKS, REPLIES
from tests.verdicts.dangers import DANGERS, MODES
from tests.verdicts.open_ways import LOGINS, NOTES, OPENS
from tests.verdicts.ways import (
    AVAST,
    BANNED,
    BUSY,
    CLOSED,
    DROP,
    EXPIRED,
    FORBID,
    HANG_UP,
    HERE,
    HOME,
    HOST,
    IN_CLEAR,
    INJECTED,
    MISNAMED,
    MUTE,
    NO_LOGIN,
    NO_RESOLVER,
    NO_TLS,
    NOW,
    NOWHERE,
    OTHERS,
    SSH,
    STRIPPED,
    TLS_BROKEN,
    UNFIT,
    UNTRUSTED,
    WANTS_OURS,
    WEB,
    WRONG_VERSION,
    Row,
    certificate,
    failed,
    said,
    way,
)

ROWS = (*OPENS, *NOTES, *LOGINS, *NETWORKS, *DANGERS, *MODES, *REPLIES, *FIREWALLS)


def verdict(row: Row) -> Diagnosis:
    return diagnose(row.ways, surroundings=row.around, login=row.login)


def told(diagnosis: Diagnosis) -> str:
    """All that a person reads."""
    phrases = (diagnosis.headline, diagnosis.advice, *diagnosis.notes)
    return " ".join(phrase.said(english) for phrase in phrases if phrase)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.is_so)
def test_this_is_what_it_comes_to(row: Row) -> None:
    found = verdict(row)
    assert (found.situation, found.blocker) == (row.situation, row.blocker)
    assert (found.open.port if found.open else None) == row.open
    assert tuple(Note(note.text) for note in found.notes) == row.notes
    assert [words for words in row.says if words not in told(found)] == []
    assert [words for words in row.never if words in told(found)] == []


def test_every_situation_is_reached_and_every_note() -> None:
    assert {row.situation for row in ROWS} == set(Situation)
    assert {note for row in ROWS for note in row.notes} == set(Note)


def test_every_row_says_something_of_its_own() -> None:
    assert len({row.is_so for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.is_so)
def test_it_pickles_and_copies(row: Row) -> None:
    found = verdict(row)
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301  # our own
    assert copy.deepcopy(found) == found


GOES_OUT = {
    Situation.OPEN,
    Situation.OPEN_IN_PART,
    Situation.TAMPERED_IN_PART,
    Situation.RELAY_OPEN,
    Situation.INSECURE_IN_PART,
    Situation.OPEN_UNENCRYPTED,
    Situation.LOGGED_IN,
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.is_so)
def test_mail_goes_out_where_a_way_is_open_and_no_login_was_refused(row: Row) -> None:
    assert verdict(row).can_send is (row.situation in GOES_OUT)


# What outranks what, from the danger of an attack down to silence, where each port came to another end.
BY_WEIGHT = [
    (WEB, Situation.PORTAL),
    (INJECTED, Situation.INJECTED),
    (AVAST, Situation.INTERCEPTED),
    (STRIPPED, Situation.STRIPPED),
    (OTHERS, Situation.PROXY),
    (EXPIRED, Situation.CERTIFICATE_EXPIRED),
    (MISNAMED, Situation.CERTIFICATE_NAME),
    (UNTRUSTED, Situation.CERTIFICATE_UNTRUSTED),
    (UNFIT, Situation.CERTIFICATE_INVALID),
    (WANTS_OURS, Situation.CLIENT_CERTIFICATE),
    (WRONG_VERSION, Situation.TLS_ON_PLAIN_PORT),
    (IN_CLEAR, Situation.CLEAR_AUTH),
    (NO_TLS, Situation.NO_STARTTLS),
    (TLS_BROKEN, Situation.TLS_FAILED),
    (BANNED, Situation.TURNED_AWAY),
    (BUSY, Situation.BUSY),
    (NO_LOGIN, Situation.NO_MECHANISM),
    (failed(Phase.GREETING, Cause.PLAIN_ON_TLS_PORT), Situation.PLAIN_ON_TLS_PORT),
    (SSH, Situation.NOT_SMTP),
    (NO_RESOLVER, Situation.RESOLVER_DOWN),
    (HERE, Situation.PROHIBITED_HERE),
    (FORBID, Situation.PROHIBITED),
    (HANG_UP, Situation.DROPPED),
    (MUTE, Situation.MUTE),
    (DROP, Situation.SILENT),
    (CLOSED, Situation.REFUSED),
    (NOWHERE, Situation.UNREACHABLE),
    (failed(Phase.EHLO, Cause.LOST), Situation.OTHER),
]


@pytest.mark.parametrize("order", [1, -1], ids=["the heavier first", "the lighter first"])
@pytest.mark.parametrize("place", range(len(BY_WEIGHT) - 1), ids=lambda it: BY_WEIGHT[it][0].cause.value)
def test_of_two_failures_the_one_that_says_more_is_told(place: int, order: int) -> None:
    (heavier, situation), (lighter, _) = BY_WEIGHT[place : place + 2]
    # At two hosts: else the neighbour would tell whether silence is a block.
    ways = [way(587, heavier, host="a.example"), way(587, lighter, host="b.example")][::order]
    assert diagnose(ways, surroundings=HOME).situation is situation


ADVISED = [row for row in ROWS if "or with port=" in told(verdict(row))]


@pytest.mark.parametrize("row", ADVISED, ids=lambda row: row.is_so)
def test_the_account_url_in_the_advice_means_the_way_that_is_open(row: Row) -> None:
    found = verdict(row)
    assert found.advice is not None
    parsed = parse_url(str(found.advice.values["url"]))
    assert routes_to(**parsed.route, authenticated=True) == (found.open,)
    assert parsed.username == "user"


@pytest.mark.parametrize("row", ADVISED, ids=lambda row: row.is_so)
def test_the_port_in_the_advice_means_the_way_that_is_open(row: Row) -> None:
    found = verdict(row)
    assert found.advice is not None
    assert found.open is not None
    port, _, mode = str(found.advice.values["port"]).partition(", security=")
    security = mode.strip("'") or None
    host = found.open.host
    assert routes_to(host, port=int(port), security=security, authenticated=True) == (found.open,)


def test_a_long_reply_is_cut_short() -> None:
    found = diagnose([way(587, said(Phase.GREETING, 554, None, "no " * 500))], surroundings=HOME)
    assert len(found.headline.said(english)) < 320


def test_without_a_date_it_is_today() -> None:
    today = datetime.now(UTC)
    last = today + timedelta(days=5, hours=1)
    soon = Certificate((HOST,), HOST, "R11", today - timedelta(days=90), last)
    found = diagnose([way(587, shown=soon)])
    assert [note.said(english) for note in found.notes] == [
        f"The certificate of {HOST} expires on {last.date()}."
    ]


REPLYING = (Cause.REFUSED_PERMANENT, Cause.REFUSED_TRANSIENT, Cause.STARTTLS_REFUSED, Cause.LOGIN_UNCLEAR)

failures = st.builds(
    lambda phase, cause, detail, shown, code: Failure(
        phase, cause, detail, Reply(code, None, detail) if cause in REPLYING else None, shown
    ),
    st.sampled_from([phase for phase in Phase if phase is not Phase.DONE]),
    st.sampled_from(Cause),
    st.sampled_from(["", "it calls itself a.example, not b.example", "{x} {0} {", "what it said."]),
    st.sampled_from([None, certificate(), certificate(issuer=""), certificate(issuer="{why}", days=-5)]),
    st.sampled_from([421, 454, 535, 554]),
)
seen = st.builds(
    Seen,
    route=st.builds(
        Route,
        st.sampled_from([HOST, "smtp.office365.com", "2001:db8::1", "localhost"]),
        st.sampled_from([25, 465, 587, 2525, 2465]),
        st.sampled_from(Security),
    ),
    failure=st.none() | failures,
    family=st.sampled_from([None, 4, 6]),
    used=st.booleans(),
    encrypted=st.booleans(),
    certificate=st.sampled_from([None, certificate(days=3), certificate()]),
)
surroundings = st.builds(
    Surroundings,
    online=st.booleans(),
    alive=st.sampled_from([None, True, False]),
    place=st.just("Droplets"),
    blocks=st.sampled_from([frozenset[int](), frozenset({25}), frozenset({25, 465, 587})]),
    policy=st.just("Ask them."),
    username=st.just("me"),
    now=st.just(NOW),
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(seen, min_size=1, max_size=6).filter(lambda ways: any(it.used for it in ways)),
    surroundings,
    st.none() | st.builds(LoginOutcome, st.none() | failures),
)
def test_whatever_was_seen_there_is_a_verdict(
    ways: list[Seen], around: Surroundings, login: LoginOutcome | None
) -> None:
    found = diagnose(ways, surroundings=around, login=login)
    gone = {it.route for it in open_ways([it for it in ways if it.used])}
    if found.can_send:
        assert found.open in gone
    elif found.situation not in (Situation.LOGIN_REFUSED, Situation.LOGIN_FAILED, Situation.NO_SECRET):
        assert all(not route.security.encrypted for route in gone)
    for phrase in (found.headline, found.advice, *found.notes):
        if phrase is not None:
            assert_filled(phrase)


def assert_filled(phrase: Phrase) -> None:
    """Whether every place of a text has something in it, and so on in what stands there."""
    for _, name, _, _ in Formatter().parse(phrase.text):
        if name is not None:
            value = phrase.values[name]
            assert value if isinstance(value, str) else value.said(english)
            if isinstance(value, Phrase):
                assert_filled(value)


def test_what_mail_goes_out_in_is_known() -> None:
    assert MAIL_GOES_OUT == GOES_OUT
