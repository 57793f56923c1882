"""A FastAPI application: one submitter for as long as it lives, and an answer for whatever becomes of a mail.

    PORTMAIL_URL=submission://me:secret@mail.example.com uvicorn fastapi_app:app

`POST /invitations` waits for the mail server's word and answers with it. `POST /signups` answers at
once; a mail that cannot be sent afterwards is logged, and lost with the process: what must arrive
belongs into a queue (celery_task.py). The lifespan is Starlette's, which takes the same function:
`Starlette(routes=…, lifespan=lifespan)`, and `request.state.mail`.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.utils import make_msgid
from typing import Annotated, TypedDict

from fastapi import BackgroundTasks, Body, Depends, FastAPI, Request
from fastapi.responses import JSONResponse

import portmail

log = logging.getLogger(__name__)


class State(TypedDict):
    """What every request finds in its `state`."""

    mail: portmail.AsyncSubmitter


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
    async with portmail.AsyncSubmitter.from_env(timeouts=20) as mail:  # somebody waits
        yield State(mail=mail)


def submitter(request: Request) -> portmail.AsyncSubmitter:
    mail: portmail.AsyncSubmitter = request.state.mail
    return mail


Mail = Annotated[portmail.AsyncSubmitter, Depends(submitter)]
Address = Annotated[str, Body(embed=True)]
app = FastAPI(lifespan=lifespan)


@app.post("/invitations", status_code=201)
async def invite(address: Address, mail: Mail) -> dict[str, str]:
    receipt = await mail.send(letter(address, "You are invited"))
    return {"message_id": receipt.message_id}


@app.post("/signups", status_code=202)
async def sign_up(address: Address, mail: Mail, tasks: BackgroundTasks) -> dict[str, str]:
    welcome = letter(address, "Welcome")
    tasks.add_task(send_or_log, mail, welcome)
    return {"message_id": welcome["Message-ID"]}


async def send_or_log(mail: portmail.AsyncSubmitter, message: EmailMessage) -> None:
    """After the answer nobody hears what a background task raises."""
    try:
        await mail.send(message)
    except portmail.PortmailError:
        log.exception("no receipt for %s", message["Message-ID"])


def letter(address: str, subject: str) -> EmailMessage:
    message = portmail.compose(to=address, subject=subject, sender="Example <hello@example.com>")
    message["Message-ID"] = make_msgid(domain="example.com")
    return message


@app.exception_handler(portmail.AddressError)
async def cannot_travel(_request: Request, error: portmail.AddressError) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 422)


@app.exception_handler(portmail.DeliveryError)
async def not_sent(_request: Request, error: portmail.DeliveryError) -> JSONResponse:
    """What happened on each route is for us; for them it is whether to try again."""
    log.error("no receipt for %s: %s", error.message_id, error)
    told = {"message_id": error.message_id}
    if isinstance(error, portmail.InDoubt):  # it may have arrived: nothing that anybody repeats
        return JSONResponse({"detail": "it may have been sent", **told}, 202)
    if error.temporary:
        wait = {"Retry-After": f"{error.retry_after or 60:.0f}"}
        return JSONResponse({"detail": "try again later", **told}, 503, wait)
    if isinstance(error, portmail.Rejected):
        return JSONResponse({"detail": "the mail server does not take it", **told}, 422)
    return JSONResponse({"detail": "mail does not work here", **told}, 500)
