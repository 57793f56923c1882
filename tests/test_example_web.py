"""The example of a web application answers with what became of its mail."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from portmail.sandbox import Sandbox

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def account(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox, as the account of this process's environment, where examples can be imported."""
    monkeypatch.setenv("PORTMAIL_URL", sandbox.url)
    monkeypatch.setenv("PORTMAIL_CA", str(sandbox.ca))
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return sandbox


@dataclass
class Web:
    """Somebody who posts an address to an ASGI application."""

    app: Any
    state: Any
    runner: asyncio.Runner

    def post(self, path: str, *, address: str = "ann@example.org") -> httpx.Response:
        """The answer; what the application does after it is done, too."""
        return self.runner.run(self._post(path, {"address": address}))

    async def _post(self, path: str, body: object) -> httpx.Response:
        async def served(scope: Any, receive: Any, send: Any) -> None:
            await self.app({**scope, "state": dict(self.state)}, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://here") as client:
            return await client.post(path, json=body)


@pytest.fixture
def web(account: Sandbox) -> Iterator[Web]:
    """The FastAPI application, between the two ends of its lifespan."""
    app = importlib.import_module("fastapi_app").app
    lifespan = app.router.lifespan_context(app)
    with asyncio.Runner() as runner:
        yield Web(app, runner.run(lifespan.__aenter__()), runner)
        runner.run(lifespan.__aexit__(None, None, None))


def invited(web: Web, **posted: str) -> tuple[int, dict[str, Any], str | None]:
    answer = web.post("/invitations", **posted)
    return answer.status_code, answer.json(), answer.headers.get("Retry-After")


def test_a_web_application_answers_with_what_became_of_the_mail(web: Web, sandbox: Sandbox) -> None:
    status, told, _ = invited(web)
    [received] = sandbox.messages
    assert (status, told) == (201, {"message_id": received.message["Message-ID"]})
    assert invited(web)[0] == 201
    assert len(sandbox.sessions) == 1, "one submitter, one connection"


def test_a_web_application_refuses_what_is_no_address(web: Web, sandbox: Sandbox) -> None:
    status, told, _ = invited(web, address="ann@example.org\r\nBcc: eve@example.org")
    assert status == 422
    assert "line break" in told["detail"]
    assert sandbox.sessions == ()


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (450, "4.2.0 greylisted, try again in 300 seconds", (503, "try again later", "300")),
        (550, "5.1.1 no such user", (422, "the mail server does not take it", None)),
    ],
)
def test_a_web_application_says_whether_to_try_again(
    web: Web, sandbox: Sandbox, code: int, text: str, expected: tuple[int, str, str | None]
) -> None:
    sandbox.reject("ann@example.org", code=code, text=text)
    status, told, wait = invited(web)
    assert (status, told["detail"], wait) == expected
    assert told["message_id"].endswith("@example.com>")


def test_a_web_application_names_no_wait_that_nobody_knows(web: Web, sandbox: Sandbox) -> None:
    for service in (587, 465):
        sandbox.close_port(service)
    status, _, wait = invited(web)
    assert (status, wait) == (503, "60")


def test_a_web_application_lets_nobody_repeat_what_is_in_doubt(web: Web, sandbox: Sandbox) -> None:
    sandbox.drop_after_dot(times=1)
    status, told, wait = invited(web)
    [received] = sandbox.messages
    assert (status, wait) == (202, None)
    assert told == {"detail": "it may have been sent", "message_id": received.message["Message-ID"]}


def test_a_web_application_that_is_not_let_in_blames_nobody_else(
    web: Web, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.strip_starttls()
    status, told, _ = invited(web)
    assert (status, told["detail"]) == (500, "mail does not work here")
    assert f"no receipt for {told['message_id']}: Not sent: no secure route." in caplog.text


def test_a_background_mail_is_sent_after_the_answer(web: Web, sandbox: Sandbox) -> None:
    answer = web.post("/signups")
    assert answer.status_code == 202
    [received] = sandbox.messages
    assert received.message["Message-ID"] == answer.json()["message_id"]


def test_a_background_mail_that_fails_is_logged(
    web: Web, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.reject("ann@example.org")
    answer = web.post("/signups")
    [logged] = [record for record in caplog.records if record.name == "fastapi_app"]
    assert (answer.status_code, logged.levelno) == (202, logging.ERROR)
    assert logged.getMessage() == f"no receipt for {answer.json()['message_id']}"
    assert logged.exc_info
    assert "Rejected" in caplog.text
