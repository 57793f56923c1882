"""Is the proof itself to be believed? Its parts, the defects that it must see, and its own server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portmail import Security
from tests.proof.__main__ import Results, told
from tests.proof.harness.clients import Errand, Said, by_portmail, letter
from tests.proof.harness.judging import Truth, faults, is_whole
from tests.proof.harness.place import Place, Scene, on_a_jumping_clock
from tests.proof.harness.recorder import Behaviour, Record, Recorder
from tests.proof.harness.table import markdown, plain
from tests.proof.harness.tally import AIOSMTPLIB, CLIENTS, PORTMAIL, Fault, Mutant, Tally, blank_but
from tests.proof.harness.tap import Action, Strike, Way
from tests.proof.offsets import COURSES, LONG_COURSE, Plain, strikes
from tests.proof.parts import PARTS


@pytest.mark.parametrize("part", PARTS)
def test_every_part_puts_portmail_to_the_proof_and_has_defects_to_catch(part: str) -> None:
    assert PARTS[part].tasks(PORTMAIL, quick=True)
    assert len(PARTS[part].tasks(PORTMAIL, quick=False)) >= len(PARTS[part].tasks(PORTMAIL, quick=True))
    assert PARTS[part].mutants()
    assert PARTS[part].TITLE


def test_every_fault_has_a_defect_that_shows_it() -> None:
    assert {mutant.fault for part in PARTS.values() for mutant in part.mutants()} == set(Fault)


def hear(*lines: bytes, behaviour: Behaviour | None = None) -> tuple[Record, bytes]:
    """What a server makes of these lines in one piece, and what it says."""
    record = Record()
    server = Recorder(behaviour or Behaviour(), record)
    server.hear(b"".join(lines))
    return record, bytes(server.outbox)


ENVELOPE = (b"EHLO a.example\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n")


def test_the_server_reads_a_content_as_the_rfc_has_it() -> None:
    record, _ = hear(*ENVELOPE, b"DATA\r\n", b"..a\r\n\n.\r\n.b\r\n\r\n.\r\nQUIT\r\n")
    [stored] = record.stored
    assert stored.content == b".a\r\n\n.\r\nb\r\n\r\n"
    assert (stored.sender, stored.recipients) == ("a@b.example", ("c@d.example",))
    assert record.lines[-1] == (False, b"QUIT")


def test_the_server_counts_chunks_and_leaves_dots_alone() -> None:
    record, said = hear(*ENVELOPE, b"BDAT 5\r\n..a\r\n", b"BDAT 3 LAST\r\n.\r\n")
    assert [stored.content for stored in record.stored] == [b"..a\r\n.\r\n"]
    assert said.endswith(b"250 2.0.0 more\r\n250 2.0.0 queued\r\n")


def test_the_server_accepts_nothing_that_it_refuses() -> None:
    record, _ = hear(*ENVELOPE, b"DATA\r\n", b"a\r\n.\r\n", behaviour=Behaviour().saying(end=b"554 no\r\n"))
    assert (record.stored, record.ends) == ([], 1)


def submit(strike: Strike | None) -> tuple[Said, Scene]:
    """One message, struck."""

    async def work(place: Place) -> tuple[Said, Scene]:
        scene = place.show(Scene([Behaviour()], strike=strike))
        outcome = await by_portmail(Errand([(place.ports[0], Security.STARTTLS)], letter()))
        await place.settle()
        return outcome.said, scene

    return on_a_jumping_clock(work)


def test_an_undisturbed_run_is_stored_whole_and_shows_nothing_to_the_tap() -> None:
    said, scene = submit(None)
    [tape] = scene.tapes
    assert said is Said.SENT
    assert [is_whole(stored) for stored in scene.record.stored] == [True]
    assert tape.committed is not None
    assert tape.heard.startswith(b"EHLO client.example.org\r\nSTARTTLS\r\n\x16")
    assert b"MAIL" not in scene.heard


@pytest.mark.parametrize("action", [Action.CLOSE, Action.RESET, Action.STALL, Action.GARBLE])
def test_a_strike_right_before_the_end_leaves_no_doubt_and_right_behind_it_does(action: Action) -> None:
    whole = Plain.of(submit(None)[1])
    assert submit(Strike(Way.OUT, whole.shaken[0] + 1, action))[0] is Said.NOT_SENT
    said, scene = submit(Strike(Way.IN, whole.shaken[1] + 1, action))
    assert (said, scene.record.stored) == (Said.NOT_SENT, [])
    assert submit(Strike(Way.OUT, whole.committed - 1, action))[0] is Said.IN_DOUBT


def test_octets_that_drip_are_the_same_octets() -> None:
    said, scene = submit(Strike(Way.IN, 0, Action.DRIP))
    assert (said, len(scene.record.stored)) == (Said.SENT, 1)


def test_every_octet_of_a_dialogue_is_struck_in_every_way() -> None:
    course, dialogue = COURSES[0], Plain(out=30, back=20, shaken=(10, 12), committed=28)
    planned = [it for share in range(4) for it in strikes(dialogue, course=course, every=1, share=share)]
    drips = [it for it in planned if it.action is Action.DRIP]
    assert len(planned) - len(drips) == len(set(planned) - set(drips)) == (30 + 20) * 4
    assert {octet for it in drips for octet in range(it.offset, it.offset + 64)} >= set(range(30))


def test_a_long_content_is_struck_everywhere_near_its_end_and_here_and_there_before() -> None:
    dialogue = Plain(14_500, 2_000, (800, 1_000), 14_300, answer=1_950, pauses=(100, 1_900, 1_950, 2_000))
    planned = [it for n in range(4) for it in strikes(dialogue, course=LONG_COURSE, every=1, share=n)]
    struck = {it.offset for it in planned if it.way is Way.OUT}
    assert struck >= {*range(14_100, 14_500)}
    assert {it // 16 for it in struck} >= {*range(82, 14_100 // 16)}
    assert {it.offset for it in planned if it.way is Way.IN and not it.behind} == {*range(1_900, 2_000)}
    assert {it.offset for it in planned if it.behind} == {2, 3, 4}


@pytest.mark.parametrize(
    ("action", "honest"),
    [
        (Action.CLOSE, (Said.NOT_SENT, Said.IN_DOUBT)),  # what is written may still be taken
        (Action.RESET, (Said.NOT_SENT,)),
    ],
)
def test_a_strike_behind_a_reply_comes_before_the_server_can_hear_more(
    action: Action, honest: tuple[Said, ...]
) -> None:
    whole = Plain.of(submit(None)[1])
    number = whole.pauses.index(whole.answer) + 1
    said, scene = submit(Strike(Way.IN, number - 1, action, behind=True))
    [tape] = scene.tapes
    assert said in honest
    assert (scene.record.ends, tape.answered) == (0, False)
    said, scene = submit(Strike(Way.IN, number, action, behind=True))
    [tape] = scene.tapes
    assert (said, len(scene.record.stored), tape.answered) == (Said.SENT, 1, True)


def test_a_tape_knows_whether_the_whole_answer_went_to_the_client() -> None:
    answer = Plain.of(submit(None)[1]).answer
    said, scene = submit(Strike(Way.IN, answer - 8, Action.STALL))
    [tape] = scene.tapes
    assert (said, len(scene.record.stored), tape.answered) == (Said.IN_DOUBT, 1, False)
    [tape] = submit(None)[1].tapes
    assert tape.answered


def test_faults_are_seen_for_what_they_are() -> None:
    _, scene = submit(None)
    errand = Errand([(1, Security.STARTTLS)], letter(), seconds=1.0)
    outcome = on_a_jumping_clock(lambda _: by_portmail(replace(errand, routes=[(1, Security.STARTTLS)])))
    truth = Truth(committed=True, answered=True)

    def seen(said: Said, *, seconds: float = 0.0) -> set[Fault]:
        changed = replace(outcome, said=said, seconds=seconds)
        return {fault for fault, _ in faults(changed, errand=errand, scene=scene, truth=truth)}

    assert seen(Said.SENT) == set()
    assert seen(Said.NOT_SENT) == {Fault.WRONG_CERTAINTY}
    assert seen(Said.IN_DOUBT) == set()
    truth = replace(truth, delivered=True)
    assert seen(Said.IN_DOUBT) == {Fault.WRONG_CERTAINTY}
    scene.record.logins *= 2
    assert seen(Said.SENT) == {Fault.SECOND_LOGIN}
    del scene.record.logins[1:]
    assert seen(Said.SENT, seconds=2.0) == {Fault.HANG}
    scene.record.stored *= 2
    assert seen(Said.SENT) == {Fault.DUPLICATE}
    scene.record.stored.clear()
    assert seen(Said.SENT) == {Fault.FALSE_SUCCESS}


def test_one_fault_of_portmail_or_one_defect_unseen_and_the_proof_fails() -> None:
    clean, faulty, blind = Tally(1, 2), Tally(1, 2), Tally(1, 2)
    faulty.note(Fault.LEAK, "here")
    mutant = Mutant("leaks", Fault.LEAK, Tally)

    def results(ours: Tally, defect: Tally) -> Results:
        return Results(
            {("attacks", PORTMAIL): ours, ("attacks", AIOSMTPLIB): faulty}, [("attacks", mutant, defect)]
        )

    assert results(clean, faulty).holds
    assert not results(faulty, faulty).holds
    assert not results(clean, blind).holds
    assert not results(Tally(), faulty).holds
    assert "  not caught: attacks: leaks" in list(told(results(clean, blind)))
    assert "  attacks: leaks: here" in list(told(results(faulty, faulty)))


def test_what_a_part_does_not_judge_is_a_dash_in_the_table() -> None:
    leaks = Tally(1, 2, blank=blank_but(Fault.LEAK))
    [_, _, row, *_] = markdown({("secrets", PORTMAIL): leaks})
    dashes = " \N{EN DASH} |" * (len(Fault) - 1)
    assert row == f"| secrets | portmail | 1 | 2 | 0 |{dashes}"
    # In the sum stands what some part judges.
    hangs = Tally(1, 2, blank=blank_but(Fault.HANG))
    assert (leaks + hangs).blank == blank_but(Fault.LEAK, Fault.HANG)


def test_the_table_has_a_row_for_each_client_and_their_sums() -> None:
    tally = Tally(1_000, 2_000, blank=frozenset({Fault.HANG}))
    tally.note(Fault.LEAK, "here")
    rows = {("attacks", client): tally for client in CLIENTS}
    lines = list(markdown(rows))
    assert lines[2] == "| attacks | portmail | 1,000 | 2,000 | 1 | 0 | \N{EN DASH} | 0 | 0 | 0 | 0 | 0 | 0 |"
    assert len(lines) == 2 + 2 * len(CLIENTS)
    assert [line.split() for line in plain(rows)][-1][:4] == ["all", "smtplib", "1,000", "2,000"]
