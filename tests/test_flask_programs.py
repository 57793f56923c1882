"""Whole Flask programs: the command line, the example, a real server, and one written for Flask-Mail."""

from __future__ import annotations

import ast
import json
import os
import runpy
import smtplib
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portmail import Timeouts
from portmail.integrations import flask as ours
from portmail.sandbox import Sandbox
from portmail.sandbox.records import Received
from tests.flask_application import account, application, forget_accounts, message
from tests.leaks import PASSWORD, USER
from tests.servers.postfix import REFUSED_SENDER, Postfix
from tests.servers.requirements import require

EXAMPLE = Path(__file__).parents[1] / "examples" / "flask_app.py"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No account but the test's own."""
    forget_accounts(monkeypatch)


def flask(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    ours = {name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "flask", "--app", str(EXAMPLE), "portmail", *arguments],
        env=ours | environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def run(app: Flask, *arguments: str) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["portmail", *arguments])
    return result.exit_code, result.output


def logins(sandbox: Sandbox) -> int:
    """How often anybody showed a credential."""
    return sum(session.authentications for session in sandbox.sessions)


def test_check_tells_how_mail_goes_out_and_sends_nothing(sandbox: Sandbox) -> None:
    done = flask("check", PORTMAIL_URL=sandbox.url, PORTMAIL_CA=str(sandbox.ca))
    assert (done.returncode, done.stderr) == (0, "")
    sender, planned, verdict, *_ = done.stdout.splitlines()
    assert sender == "default sender: Example <hello@example.com>"
    assert planned == f"submits to {sandbox.routes[0]}, as {USER}"
    assert verdict == f"✓ Mail can go out: {sandbox.routes[0]} is open."
    assert PASSWORD not in done.stdout
    assert (sandbox.messages, logins(sandbox)) == ((), 0)


def test_check_logs_in_once_where_that_is_wished(sandbox: Sandbox) -> None:
    app, _ = application(**account(sandbox))
    code, told = run(app, "check", "--login")
    assert (code, logins(sandbox), sandbox.messages) == (0, 1, ())
    assert f"took the login of {USER}" in told


def test_check_tells_what_is_wrong_with_the_login(sandbox: Sandbox) -> None:
    app, _ = application(**account(sandbox) | {"PORTMAIL_URL": sandbox.url.replace("correct", "wrong")})
    assert (run(app, "check")[0], logins(sandbox)) == (0, 0)
    code, told = run(app, "check", "--login")
    assert (code, logins(sandbox)) == (77, 1)
    assert "535" in told


def closed(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.close_port(587)
    return {}


def blocked(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.block(587)
    return {"PORTMAIL_OPTIONS": {"timeouts": Timeouts(connect=0.1)}}


@pytest.mark.parametrize(
    ("prepare", "code"),
    [(closed, 69), (blocked, 69), (lambda _: {"PORTMAIL_CA": None}, 77)],
    ids=["refused", "blocked", "untrusted"],
)
@pytest.mark.parametrize("option", [(), ("--login",)], ids=["", "login"])
def test_check_says_with_an_exit_code_that_mail_cannot_go_out(
    prepare: Callable[[Sandbox], dict[str, Any]], code: int, option: tuple[str, ...], sandbox: Sandbox
) -> None:
    app, _ = application(**account(sandbox) | prepare(sandbox))
    found, told = run(app, "check", *option)
    assert (found, logins(sandbox)) == (code, 0)
    assert "Mail cannot go out." in told


def test_the_commands_speak_japanese_where_the_locale_does(sandbox: Sandbox) -> None:
    sandbox.close_port(587)
    where = {"PORTMAIL_URL": sandbox.url, "PORTMAIL_CA": str(sandbox.ca), "LANG": "ja_JP.UTF-8"}
    done = flask("check", **where)
    assert (done.returncode, done.stderr) == (69, "")
    assert "接続が拒否されました" in done.stdout


def test_so_does_a_message_that_is_not_sent(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "ja")
    monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8")
    sandbox.close_port(587)
    app, _ = application(**account(sandbox), PORTMAIL_OPTIONS={"retry": None})
    code, told = run(app, "test", "ann@example.org")
    assert code == 69
    assert "portmail: " in told
    assert "接続が拒否されました" in told


def test_test_sends_a_message(sandbox: Sandbox) -> None:
    app, _ = application(**account(sandbox))
    code, told = run(app, "test", "ann@example.org")
    assert (code, "accepted by" in told) == (0, True)
    assert sandbox.messages[0].recipients == ("ann@example.org",)
    assert sandbox.messages[0].message["Subject"] == "Test of shop"


@pytest.mark.parametrize(("address", "code"), [("gone@example.org", 67), ("nobody", 65)])
def test_test_has_an_exit_code(address: str, code: int, sandbox: Sandbox) -> None:
    sandbox.reject("gone@example.org")
    app, _ = application(**account(sandbox))
    assert run(app, "test", address)[0] == code


def test_test_says_that_sending_is_suppressed(sandbox: Sandbox) -> None:
    app, _ = application(**account(sandbox), TESTING=True)
    code, told = run(app, "test", "ann@example.org")
    assert (code, "suppressed" in told, sandbox.messages) == (78, True, ())


def client(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    for name, value in account(sandbox).items():
        monkeypatch.setenv(name, value)
    app: Flask = runpy.run_path(str(EXAMPLE))["app"]
    app.extensions["portmail"].options["retry"] = None  # a retry takes seconds
    return app.test_client()


def test_the_example_sends(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    response = client(sandbox, monkeypatch).post("/invitations", data={"address": "ann@example.org"})
    assert response.status_code == 201
    [received] = sandbox.messages
    assert response.get_json() == {"sent": received.message["Message-ID"]}
    assert received.message["From"] == "Example <hello@example.com>"


@pytest.mark.parametrize(
    ("address", "prepare", "status"),
    [
        ("ann@", lambda _: None, 400),
        ("gone@example.org", lambda sandbox: sandbox.reject("gone@example.org"), 502),
        ("busy@example.org", lambda sandbox: sandbox.reject("busy@example.org", code=450), 503),
        ("ann@example.org", lambda sandbox: sandbox.drop_after_dot(), 500),
    ],
)
def test_the_example_tells_what_went_wrong(
    address: str,
    prepare: Callable[[Sandbox], object],
    status: int,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    http = client(sandbox, monkeypatch)
    prepare(sandbox)
    response = http.post("/invitations", data={"address": address})
    assert (response.status_code, list(response.get_json())) == (status, ["error"])


def test_a_real_server_takes_what_an_application_sends(postfix: Postfix) -> None:
    app, mail = application(
        MAIL_SERVER=postfix.host,
        MAIL_PORT=postfix.ports[587],
        MAIL_USE_TLS=True,
        MAIL_USERNAME="me@example.org",
        MAIL_PASSWORD="correct horse",
        MAIL_CA=str(postfix.ca),
    )
    with app.app_context():
        with pytest.raises(smtplib.SMTPSenderRefused) as told:
            mail.send(message(sender=("Me", REFUSED_SENDER)))
        assert (told.value.sender, told.value.smtp_code) == (REFUSED_SENDER, 550)
        [refused] = mail.send_many([message(sender=REFUSED_SENDER)])
        error: Any = refused.error
        assert isinstance(error, smtplib.SMTPSenderRefused)
        assert error.sender == REFUSED_SENDER
        sent = message(recipients=[("Zoë", "flask-zoe@example.org")], html="<p>Grüße</p>")
        sent.attach("Übersicht.csv", data="a;ü\n")
        receipt = mail.send(sent)
        [result] = mail.send_many(
            [message(recipients=["flask-zoe@example.org"], bcc=["flask-bcc@example.org"])]
        )
    assert receipt is not None
    assert receipt.tls is not None
    assert result.error is None
    first, _ = postfix.wait_for("flask-zoe@example.org", count=2)
    assert b"Message-ID: " + sent.msgId.encode() in first
    [hidden] = postfix.wait_for("flask-bcc@example.org")
    assert b"flask-bcc" not in hidden.partition(b"\n\n")[0].replace(b"Delivered-To: flask-bcc", b"").replace(
        b"X-Original-To: flask-bcc", b""
    )


PROGRAM = """
import base64
import json
import sys
from threading import Thread

from flask import Flask, current_app
from MODULE import Attachment, BadHeaderError, Connection, Mail, Message, email_dispatched

told = []
mail = Mail()


def create_app(**config):
    app = Flask("shop")
    app.config["MAIL_SERVER"] = "127.0.0.1"
    app.config["MAIL_PORT"] = int(sys.argv[1])
    app.config["MAIL_DEFAULT_SENDER"] = ("The Shop", "shop@example.com")
    app.config["MAIL_MAX_EMAILS"] = 2
    app.config.update(config)
    mail.init_app(app)

    @app.post("/orders/<int:number>")
    def order(number):
        msg = Message(f"Order {number}", recipients=["ann@example.org"], cc=["Bob <bob@example.org>"])
        msg.add_recipient(("Carol", "carol@example.org"))
        msg.body = "Thank you.\\n"
        msg.html = "<p>Thank <b>you</b>.</p>\\n"
        mail.send(msg)
        return {"sender": msg.sender, "recipients": len(msg.send_to), "dated": msg.date is not None}

    @app.post("/later")
    def later():
        thread = Thread(target=send_later, args=(current_app._get_current_object(),))
        thread.start()
        thread.join()
        return {}

    return app


def send_later(app):
    with app.app_context():
        mail.send_message("Later", recipients=["ann@example.org"], body="In a thread.\\n")


@email_dispatched.connect
def log(app, message):
    told.append([app.name, message.subject])


app = create_app()
client = app.test_client()
told.append(client.post("/orders/7").get_json())
client.post("/later")

with app.app_context():
    with mail.connect() as conn:
        assert isinstance(conn, Connection)
        for user in ("ann", "bob", "carol"):
            msg = Message(f"News for {user}", [f"{user}@example.org"], reply_to="desk@example.com")
            msg.alts["calendar"] = "BEGIN:VCALENDAR\\nEND:VCALENDAR\\n"
            msg.body = "Grüße\\n"
            conn.send(msg)
        conn.send_message(subject="Grüße", recipients=["dan@example.org"], body="x\\n", charset="utf-8")

    msg = Message(
        subject="Report",
        recipients=["ann@example.org"],
        bcc=["audit@example.org"],
        sender="reports@example.com",
        body="Attached.\\n",
        extra_headers={"X-Report": "monthly"},
        attachments=[Attachment("report.csv", "text/csv", b"a;b\\n")],
    )
    msg.attach("logo.png", "image/png", base64.b64decode("iVBORw0KGgo="), "inline", {"Content-ID": "<logo>"})
    msg.attach("Übersicht.pdf", "application/pdf", b"%PDF-1.7")
    mail.send(msg)
    told.append(["X-Report" in str(msg), "audit@example.org" in msg.as_string(), msg.html])

    for subject in ("Hello\\nBcc: eve@example.org", "Hello\\r\\n"):
        msg = Message(subject, recipients=["ann@example.org"], body="x")
        told.append(msg.has_bad_headers())
        try:
            mail.send(msg)
        except BadHeaderError:
            told.append("bad header")
    try:
        mail.send(Message("Nobody"))
    except AssertionError:
        told.append("nobody")

tested = create_app(TESTING=True)
with tested.test_request_context():
    with mail.record_messages() as outbox:
        mail.send_message(subject="testing", body="test", recipients=["ann@example.org"])
        tested.test_client().post("/orders/8")
    told.append([[msg.subject, msg.sender, msg.body, sorted(map(str, msg.send_to))] for msg in outbox])
    state = tested.extensions["mail"]
    told.append([state.server, state.suppress, state.max_emails, state.default_sender])

print(json.dumps(told))
"""


def in_a_process(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def here(program: str, *arguments: str) -> str:
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as told:
        patch.setattr(sys, "argv", ["-c", *arguments])
        names = {"__name__": "__main__"}
        exec(compile(program, "program", "exec"), names)  # noqa: S102  # it is above
        names.clear()  # its receivers of signals end
    return told.getvalue()


def outcome(module: str, *, run: Callable[..., str]) -> tuple[Any, list[dict[str, Any]]]:
    """What a program tells, and what the server gets of it."""
    with Sandbox() as sandbox:
        told = run(PROGRAM.replace("MODULE", module), str(sandbox.port(25)))
        return json.loads(told), [digest(received) for received in sandbox.messages]


def digest(received: Received) -> dict[str, Any]:
    """What a person gets, whatever the encodings."""
    email = received.message
    leaves = [part for part in email.walk() if not part.is_multipart()]
    names = {part.get_filename(): part.get("Content-ID") for part in leaves}
    return {
        "envelope": (received.sender, sorted(received.recipients)),
        "subject": email["Subject"],
        "addresses": {
            name: sorted(map(str, email[name].addresses))
            for name in ("From", "To", "Cc", "Reply-To")
            if email[name]
        },
        "extra": (
            email["X-Report"],
            email["Bcc"],
            email["Date"] is not None,
            email["Message-ID"] is not None,
        ),
        "types": [part.get_content_type() for part in leaves],
        "contents": [part.get_payload(decode=True).replace(b"\r\n", b"\n").strip() for part in leaves],  # type: ignore[union-attr]  # it is a leaf
        "dispositions": [part.get_content_disposition() for part in leaves],
        "names": names | {None: None},
    }


def test_a_program_written_for_flask_mail_runs_unchanged_but_for_the_import() -> None:
    require(None if find_spec("flask_mail") else "Flask-Mail is not installed")
    # In a process of its own: Flask-Mail changes how the whole process writes mail.
    told, received = outcome("flask_mail", run=in_a_process)
    assert len(received) == 7
    assert outcome("portmail.integrations.flask", run=here) == (told, received)


def names_in(body: Iterable[ast.stmt]) -> Iterator[str]:
    """The public names that statements of a module or a class define."""
    for statement in body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            names = [statement.name]
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
        else:
            continue
        yield from (name for name in names if not name.startswith("_"))


def test_every_public_name_of_flask_mail_is_here() -> None:
    # It is read and not imported, see above.
    spec = find_spec("flask_mail")
    require(None if spec and spec.origin else "Flask-Mail is not installed")
    assert spec is not None
    assert spec.origin is not None
    module = ast.parse(Path(spec.origin).read_text("utf-8"))
    classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    known = set(names_in(module.body))
    assert {"Mail", "Message", "sanitize_address", "email_dispatched"} <= known
    assert known - set(ours.__all__) == set()
    missing = {
        name: members_of(classes, name) - set(dir(getattr(ours, name))) for name in classes.keys() & known
    }
    assert {name: names for name, names in missing.items() if names} == {"Connection": {"configure_host"}}
    assert {"send", "record_messages", "init_app"} <= members_of(classes, "Mail")


def members_of(classes: dict[str, ast.ClassDef], name: str) -> set[str]:
    """The public names of a class and of those in its module that it is made of."""
    if name not in classes:
        return set()
    bases = (base.id for base in classes[name].bases if isinstance(base, ast.Name))
    return set(names_in(classes[name].body)).union(*(members_of(classes, base) for base in bases))
