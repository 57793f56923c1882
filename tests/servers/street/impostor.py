"""What does a box say that answers in the server's place? What makes a client go on, if it would."""

import ssl
from collections.abc import Mapping, Sequence

from tests.servers.street.trick import Bearing
from tests.servers.street.visit import Visit

_REPLIES: Mapping[str, str] = {
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "RSET": "250 2.0.0 ok",
    "NOOP": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
}
_CHALLENGES: Mapping[str, Sequence[str]] = {
    "AUTH LOGIN": ("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"),
    "AUTH PLAIN": ("334 ",),
}


async def answer(visit: Visit, *, bearing: Bearing, context: ssl.SSLContext) -> None:
    """Be the server; `context` is for STARTTLS."""
    await visit.say(bearing.greeting)
    if bearing.greeting.startswith("421"):
        return
    async for line in visit.lines():
        verb = line.upper()
        if bearing.greeting.startswith("554") and verb != "QUIT":
            await visit.say("503 5.5.1 no service")
        elif verb == "STARTTLS" and "STARTTLS" in bearing.clear and not visit.tls:
            await visit.secure(context)
        else:
            await _reply(visit, bearing=bearing, line=line)
        if verb == "QUIT":
            return


async def _reply(visit: Visit, *, bearing: Bearing, line: str) -> None:
    verb = line[:4].upper()
    if verb == "EHLO":
        await _introduce(visit, bearing=bearing)
    elif verb == "AUTH":
        await _login(visit, line=line)
    elif verb == "DATA":
        await _message(visit)
    else:
        await visit.say(_REPLIES.get(verb, "502 5.5.2 no such command"))


async def _introduce(visit: Visit, *, bearing: Bearing) -> None:
    *first, last = (bearing.name, *(bearing.secure if visit.tls else bearing.clear))
    await visit.say(*(f"250-{it}" for it in first), f"250 {last}")


async def _login(visit: Visit, *, line: str) -> None:
    """Take whatever is given."""
    words = line.split(" ")
    command, given = " ".join(words[:2]).upper(), words[2:]
    for challenge in _CHALLENGES.get(command, ())[len(given) :]:
        await visit.say(challenge)
        await visit.hear()
    await visit.say("235 2.7.0 welcome")


async def _message(visit: Visit) -> None:
    await visit.say("354 go ahead")
    async for line in visit.lines():
        if line == ".":
            break
    await visit.say("250 2.0.0 taken")
