"""Does `manage.py portmail check` say whether mail can go out? With its exit code, and no password."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

import portmail
from portmail.sandbox import Sandbox
from tests.django_site.site import LOCMEM, MAILERS, OTHER, mailers
from tests.leaks import PASSWORD, USER, Scanner

MANAGE = """
    import sys, django
    from django.conf import settings
    from django.core.management import execute_from_command_line
    options = {{"url": {url!r}, "tls_ca": {ca!r}}}
    backend = "portmail.django.EmailBackend"
    mailers = {{"MAILERS": {{"default": {{"BACKEND": backend, "OPTIONS": options}}}}}}
    before = {{"EMAIL_BACKEND": backend, "PORTMAIL": options}}
    settings.configure(INSTALLED_APPS=[{app!r}], **(mailers if django.VERSION >= (6, 1) else before))
    execute_from_command_line(sys.argv)
"""


def manage(
    url: str, *arguments: str, ca: Path, app: str, directory: Path, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a site's manage.py."""
    file = directory / "manage.py"
    file.write_text(dedent(MANAGE).format(url=url, ca=str(ca), app=app), "utf-8")
    return subprocess.run(
        [sys.executable, "-W", "error", str(file), *arguments],
        env={name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE")} | environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def said(**options: Any) -> str:
    """What the command writes."""
    out = io.StringIO()
    call_command("portmail", "check", stdout=out, **options)
    return out.getvalue()


def logins(sandbox: Sandbox) -> int:
    """How often anybody showed a credential."""
    return sum(session.authentications for session in sandbox.sessions)


def test_it_says_that_mail_can_go_out_and_shows_no_password(
    sandbox: Sandbox, options: dict[str, Any]
) -> None:
    with override_settings(**mailers(options)):
        planned, verdict, *_, end = said().splitlines()
    route = f"127.0.0.1:{sandbox.port(587)} starttls"
    assert planned == f"submits to {route}, as {USER}"
    assert verdict == f"✓ Mail can go out: {route} is open."
    assert end.startswith("Nothing was sent, and no password was shown.")
    assert (logins(sandbox), sandbox.messages) == (0, ())


def test_a_login_that_is_wished_is_one_login(sandbox: Sandbox, options: dict[str, Any]) -> None:
    with override_settings(**mailers(options)):
        text = said(login=True)
    assert f"took the login of {USER}" in text
    assert not Scanner(PASSWORD).text(text)
    assert (logins(sandbox), sandbox.messages) == (1, ())


@pytest.mark.long
def test_a_site_may_have_it_by_its_long_name(sandbox: Sandbox, tmp_path: Path) -> None:
    app = "portmail.integrations.django"
    done = manage(sandbox.url, "portmail", "check", ca=sandbox.ca, app=app, directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Mail can go out" in done.stdout


def test_a_password_that_is_refused_is_exit_code_77(sandbox: Sandbox, tmp_path: Path) -> None:
    url = sandbox.url.replace("battery", "wrong")
    done = manage(
        url, "portmail", "check", "--login", ca=sandbox.ca, app="portmail.django", directory=tmp_path
    )
    assert (done.returncode, logins(sandbox)) == (77, 1)
    assert "535" in done.stdout
    assert not Scanner(PASSWORD, PASSWORD.replace("battery", "wrong")).text(done.stdout + done.stderr)


def test_it_speaks_japanese_where_the_locale_does(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.close_port(587)
    app, locale = "portmail.django", "ja_JP.UTF-8"
    done = manage(sandbox.url, "portmail", "check", ca=sandbox.ca, app=app, directory=tmp_path, LANG=locale)
    assert (done.returncode, done.stderr) == (69, "")
    assert "接続が拒否されました" in done.stdout


@pytest.mark.long
def test_settings_that_cannot_be_met_are_told_before(sandbox: Sandbox, tmp_path: Path) -> None:
    url = "submission://me:correct%20horse@x/path"
    done = manage(url, "portmail", "check", ca=sandbox.ca, app="portmail.django", directory=tmp_path)
    assert done.returncode == 1
    assert "portmail.E001" in done.stderr
    assert "horse" not in done.stdout + done.stderr


def closed(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.close_port(587)
    return {}


def blocked(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.block(587)
    return {"timeouts": portmail.Timeouts(connect=0.1)}


@pytest.mark.parametrize(
    ("prepare", "code"),
    [(closed, 69), (blocked, 69), (lambda _: {"tls_ca": None}, 77)],
    ids=["refused", "blocked", "untrusted"],
)
@pytest.mark.parametrize("login", [False, True], ids=["", "login"])
def test_where_mail_cannot_go_out_it_says_so_with_an_exit_code(
    prepare: Callable[[Sandbox], dict[str, Any]],
    code: int,
    login: bool,
    sandbox: Sandbox,
    options: dict[str, Any],
) -> None:
    out = io.StringIO()
    with override_settings(**mailers({**options, **prepare(sandbox)})):
        with pytest.raises(SystemExit) as caught:
            call_command("portmail", "check", login=login, stdout=out)
    assert (caught.value.code, logins(sandbox)) == (code, 0)
    assert "Mail cannot go out." in out.getvalue()


def test_another_backend_is_told(sandbox: Sandbox) -> None:
    with override_settings(**mailers({}, backend=LOCMEM)), pytest.raises(CommandError, match="locmem"):
        said()


def test_an_alias_may_be_named(sandbox: Sandbox, options: dict[str, Any]) -> None:
    others: Any = {"other": options} if MAILERS else {}
    with override_settings(**mailers(options, **others)):
        assert "Nothing was sent" in said(using="other" if MAILERS else "default")
        with pytest.raises(CommandError, match="nowhere"):
            said(using="nowhere")


def test_an_action_that_there_is_not_is_refused() -> None:
    with pytest.raises(CommandError, match="sned"):
        call_command("portmail", "sned", OTHER)
