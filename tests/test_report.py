"""What did a check find? Every way, the verdict, and both in words."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
from datetime import UTC, datetime, timedelta

import pytest

from portmail.cause import Cause
from portmail.certificate import Certificate
from portmail.diagnosis import diagnose
from portmail.failure import Failure, Phase
from portmail.language import Language
from portmail.phrase import SENTENCES, Phrase
from portmail.receipt import Attempt
from portmail.report import Probe, Report, outcome_in_words, paragraphs, way_in_words
from portmail.route import Route
from portmail.security import Security, TlsEvidence
from portmail.seen import Seen
from portmail.situation import Situation
from portmail.story import Note
from portmail.verdict import Verdict

HOST = "mail.example.com"
SUBMISSION, SUBMISSIONS = Route(HOST, 587, Security.STARTTLS), Route(HOST, 465, Security.IMPLICIT_TLS)
RELAY = Route(HOST, 25, Security.OPPORTUNISTIC)
TLS = TlsEvidence("TLSv1.3", "TLS_AES_256_GCM_SHA384", HOST)
DROP = Failure(Phase.CONNECT, Cause.TIMED_OUT, "after 4.0 s")
TODAY = datetime.now(UTC)
SHOWN = Certificate((HOST,), HOST, "R11", TODAY - timedelta(days=30), TODAY + timedelta(days=60, hours=1))


def opened(route: Route = SUBMISSION, *, family: int | None = 4, tls: TlsEvidence | None = TLS) -> Probe:
    return Probe(
        route=route,
        family=family,
        address="192.0.2.1",
        used=True,
        phase=Phase.DONE,
        failure=None,
        seconds=0.12,
        greeting="220 mail.example.com ESMTP",
        name=HOST,
        tls=tls,
        certificate=SHOWN if tls else None,
        extensions=("SIZE", "AUTH"),
        mechanisms=("PLAIN", "LOGIN"),
    )


def closed(
    route: Route = SUBMISSION, failure: Failure = DROP, *, family: int | None = 4, used: bool = True
) -> Probe:
    return Probe(route, family, "192.0.2.1", used, failure.phase, failure, seconds=4.04)


def report(*probes: Probe) -> Report:
    return Report(probes, diagnose([it.seen() for it in probes]), seconds=4.2)


def marked(text: str) -> str:
    """Another language: every text of ours with a word in it in guillemets."""
    return f"«{text}»" if re.search(r"[a-z]", re.sub(r"{.*?}", "", text), re.IGNORECASE) else text


def test_the_kind_of_a_way_is_open_or_its_cause() -> None:
    assert opened().kind == "open"
    assert closed().kind == "timed-out"
    assert {closed(failure=Failure(Phase.TLS, cause)).kind for cause in Cause} == {it.value for it in Cause}


def test_days_are_those_of_the_certificate_that_was_shown() -> None:
    assert opened().days_left == 60
    assert opened(tls=None).days_left is None
    expired = dataclasses.replace(SHOWN, not_after=TODAY - timedelta(days=2))
    assert dataclasses.replace(closed(), certificate=expired).days_left == -3


def test_a_diagnosis_sees_what_was_probed() -> None:
    assert opened().seen() == Seen(SUBMISSION, None, 4, True, True, SHOWN, HOST)
    assert opened(RELAY, family=6, tls=None).seen() == Seen(RELAY, None, 6, True, False, None, HOST)
    assert closed(used=False).seen() == Seen(SUBMISSION, DROP, 4, False, False, None)


def test_a_report_where_mail_goes_out() -> None:
    found = report(closed(), opened(SUBMISSIONS))
    assert (found.can_send, found.route, found.kind) == (True, SUBMISSIONS, "open-in-part")


def test_a_report_where_it_does_not() -> None:
    found = report(closed(), closed(SUBMISSIONS))
    assert (found.can_send, found.route, found.kind) == (False, None, "silent")


def test_a_report_where_another_way_is_open() -> None:
    found = report(closed(), dataclasses.replace(opened(SUBMISSIONS), used=False))
    assert (found.can_send, found.route, found.kind) == (False, SUBMISSIONS, "other-port-open")


def test_its_text_is_the_verdict_the_notes_and_each_way() -> None:
    found = report(opened(), closed(family=6), closed(RELAY, used=False))
    assert str(found).split("\n") == [
        "Mail can go out: mail.example.com:587 starttls is open.",
        *(f"- {note.said(str)}" for note in found.diagnosis.notes),
        "  mail.example.com:587 starttls IPv4: open (0.1 s)",
        "  mail.example.com:587 starttls IPv6: no answer: the port is silent: after 4.0 s (4.0 s)",
        "  mail.example.com:25 opportunistic IPv4: no answer: the port is silent: after 4.0 s (4.0 s)",
    ]
    assert len(found.diagnosis.notes) == 2


def test_where_nothing_goes_out_that_is_said_first_and_what_to_do_in_the_same_paragraph() -> None:
    found = report(closed())
    first, *ways = str(found).split("\n")
    assert first.startswith("Mail cannot go out. mail.example.com does not answer on port 587")
    assert " What to do: " in first
    assert first.endswith(".")
    assert len(ways) == 1


def test_where_mail_goes_out_nothing_is_to_be_done() -> None:
    first = str(report(opened(), closed(SUBMISSIONS))).split("\n")[0]
    assert "Nothing needs to be done" in first
    assert "What to do" not in first
    assert "cannot" not in first


def test_a_text_is_told_in_the_language_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found = report(closed())
    with monkeypatch.context() as patch:
        patch.setattr("portmail.report.words", lambda it: marked if it is Language.JAPANESE else str)
        assert found.text(Language.JAPANESE).startswith("«Mail cannot go out.» «")
        assert found.text().startswith("Mail cannot go out. mail")
    assert found.text() == found.text(Language.ENGLISH) == str(found)
    assert "mail.example.com:587 starttls IPv4: " in found.text(Language.JAPANESE)


def test_nothing_of_ours_escapes_translation() -> None:
    found = report(opened(), closed(SUBMISSIONS))
    (paragraph,) = paragraphs(found.diagnosis, marked)
    assert paragraph.startswith("«Mail can go out by ")
    assert "«no answer: the port is silent»" in paragraph
    assert "«port 465»" in paragraph
    assert way_in_words(found.probes[0], marked) == f"{SUBMISSION} IPv4: «open» (0.1 s)"
    assert outcome_in_words(found.probes[1], marked) == "«no answer: the port is silent»: after 4.0 s"


@pytest.mark.parametrize("can_send", [True, False])
def test_the_parts_of_a_paragraph_stand_in_their_order(can_send: bool) -> None:
    situation = Situation.OPEN_IN_PART if can_send else Situation.SILENT
    verdict = dataclasses.replace(
        report(closed()).diagnosis,
        situation=situation,
        headline=Phrase("H."),
        advice=Phrase("A."),
        notes=(Phrase("N."), Phrase("M.")),
    )
    first = "«H.» «A.»" if can_send else "«Mail cannot go out.» «H.» «What to do:» «A.»"
    assert paragraphs(verdict, marked) == [first, "- «N.»", "- «M.»"]
    without = dataclasses.replace(verdict, advice=None, notes=())
    assert paragraphs(without, marked) == ["«H.»" if can_send else "«Mail cannot go out.» «H.»"]


def test_the_best_hint_goes_before_the_advice() -> None:
    hint, other = (Phrase(Note.HINT.value, {"hint": Phrase(text)}) for text in ("Best.", "Next best."))
    closed_25 = Phrase(Note.RELAY_CLOSED.value)
    verdict = dataclasses.replace(
        report(closed()).diagnosis,
        headline=Phrase("H."),
        advice=Phrase("A."),
        notes=(closed_25, hint, other),
    )
    first, *notes = paragraphs(verdict, str)
    assert first == "Mail cannot go out. H. What to do: Best. A."
    assert notes == [f"- {Note.RELAY_CLOSED.value}", "- Next best."]
    without = dataclasses.replace(verdict, advice=None)
    assert paragraphs(without, str)[0] == "Mail cannot go out. H. What to do: Best."
    can_send = dataclasses.replace(verdict, situation=Situation.OPEN_IN_PART)
    assert paragraphs(can_send, str) == ["H. Best. A.", f"- {Note.RELAY_CLOSED.value}", "- Next best."]


def test_sentences_are_joined_in_the_way_of_the_language() -> None:
    found = report(closed(SUBMISSIONS))
    (paragraph,) = paragraphs(found.diagnosis, lambda text: "{one}|{other}" if text == SENTENCES else text)
    assert paragraph.startswith("Mail cannot go out.|mail.example.com does not answer")


def test_a_way_without_an_address_has_no_family() -> None:
    nobody = closed(failure=Failure(Phase.CONNECT, Cause.NAME_NOT_FOUND, HOST), family=None)
    assert way_in_words(nobody, str) == f"{SUBMISSION}: the host name does not exist: {HOST} (4.0 s)"


def test_reports_are_frozen_values() -> None:
    found = report(opened())
    assert found == report(opened())
    for value in (found, found.probes[0], found.diagnosis):
        name = dataclasses.fields(value)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)


def test_it_can_be_told_as_data() -> None:
    found = report(closed(failure=Failure(Phase.TLS, Cause.CERTIFICATE_NAME, "x", certificate=SHOWN)))
    data = dataclasses.asdict(found)
    assert data["probes"][0]["failure"]["certificate"]["names"] == (HOST,)
    assert data["diagnosis"]["headline"] == dataclasses.asdict(found.diagnosis.headline)
    assert len({found, report(opened()), report(opened())}) == 2


@pytest.mark.parametrize(
    "found",
    [
        report(opened(), closed(RELAY)),
        report(closed(), closed(SUBMISSIONS)),
        report(closed(failure=Failure(Phase.TLS, Cause.CERTIFICATE_NAME, "x", certificate=SHOWN))),
        dataclasses.replace(
            report(opened()), login=Attempt(SUBMISSION, Phase.AUTH, None, Verdict.ACCEPTED, 0.2)
        ),
    ],
    ids=["open", "closed", "with a certificate", "with a login"],
)
def test_it_pickles_and_copies(found: Report) -> None:
    for again in (
        pickle.loads(pickle.dumps(found)),  # noqa: S301  # our own
        copy.copy(found),
        copy.deepcopy(found),
    ):
        assert again == found
        assert hash(again) == hash(found)
        assert (str(again), again.text(Language.JAPANESE)) == (str(found), found.text(Language.JAPANESE))
