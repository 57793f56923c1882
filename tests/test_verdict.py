"""What follows from a failure? Every cell of the table, as it is in the design."""

from __future__ import annotations

import pytest

from portmail.cause import Cause, Nature
from portmail.failure import Failure, Phase
from portmail.reply import Reply
from portmail.verdict import TABLE, Verdict, judge

NEXT, LATER, STOP = Verdict.NEXT_ROUTE, Verdict.RETRY_LATER, Verdict.GIVE_UP
DOUBT = Verdict.IN_DOUBT

NATURES = (Nature.NO_ANSWER, Nature.INSECURE, Nature.TRANSIENT, Nature.PERMANENT, Nature.OTHER_ROUTE)
DESIGN = {
    Phase.CONNECT: (NEXT, NEXT, NEXT, NEXT, NEXT),
    Phase.GREETING: (NEXT, NEXT, NEXT, NEXT, NEXT),
    Phase.EHLO: (NEXT, NEXT, NEXT, NEXT, NEXT),
    Phase.TLS: (NEXT, NEXT, NEXT, NEXT, NEXT),
    Phase.AUTH: (LATER, STOP, LATER, STOP, NEXT),
    Phase.MAIL: (LATER, STOP, LATER, STOP, NEXT),
    Phase.RCPT: (LATER, STOP, LATER, STOP, NEXT),
    Phase.DATA: (LATER, STOP, LATER, STOP, NEXT),
    Phase.CONTENT: (LATER, STOP, LATER, STOP, NEXT),
    Phase.FINAL_DOT: (DOUBT, DOUBT, LATER, STOP, DOUBT),
}
A_CAUSE = {
    Nature.NO_ANSWER: Cause.LOST,
    Nature.INSECURE: Cause.NO_PROOF,
    Nature.TRANSIENT: Cause.REFUSED_TRANSIENT,
    Nature.PERMANENT: Cause.REFUSED_PERMANENT,
    Nature.OTHER_ROUTE: Cause.LOGIN_WANTED,
}


@pytest.mark.parametrize("nature", NATURES, ids=lambda nature: nature.value)
@pytest.mark.parametrize("phase", DESIGN, ids=lambda phase: phase.value)
def test_what_follows_is_what_the_design_says(phase: Phase, nature: Nature) -> None:
    assert judge(Failure(phase, A_CAUSE[nature])) is DESIGN[phase][NATURES.index(nature)]


def test_every_phase_but_the_end_has_a_verdict_for_every_nature() -> None:
    assert set(TABLE) == {(phase, nature) for phase in Phase for nature in Nature if phase is not Phase.DONE}
    assert Verdict.ACCEPTED not in TABLE.values()


@pytest.mark.parametrize("cause", Cause, ids=lambda cause: cause.value)
def test_no_other_route_is_ever_tried_after_the_final_dot(cause: Cause) -> None:
    assert judge(Failure(Phase.FINAL_DOT, cause)) is not Verdict.NEXT_ROUTE


@pytest.mark.parametrize("cause", Cause, ids=lambda cause: cause.value)
def test_only_after_the_final_dot_is_there_doubt(cause: Cause) -> None:
    for phase in set(Phase) - {Phase.FINAL_DOT, Phase.DONE}:
        assert judge(Failure(phase, cause)) is not Verdict.IN_DOUBT


@pytest.mark.parametrize("code", [500, 504, 530, 534, 535, 538, 550, 554])
def test_refused_credentials_are_not_tried_elsewhere(code: int) -> None:
    assert judge(Failure.of_reply(Phase.AUTH, Reply(code))) is Verdict.GIVE_UP


@pytest.mark.parametrize(
    ("code", "verdict"),
    [(451, LATER), (421, LATER), (554, STOP), (220, DOUBT), (354, DOUBT)],
)
def test_a_reply_to_the_final_dot_ends_the_doubt_only_if_it_says_no(code: int, verdict: Verdict) -> None:
    assert judge(Failure.of_reply(Phase.FINAL_DOT, Reply(code))) is verdict
