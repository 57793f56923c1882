"""Does `manage.py portmail check` say whether mail can go out? With its exit code, and no password."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

import portmail
from portmail.sandbox import Sandbox
from tests.django_site.site import LOCMEM, MAILERS, OTHER, mailers
from tests.leaks import PASSWORD, Scanner

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
    url: str, *arguments: str, ca: Path, app: str, directory: Path
) -> subprocess.CompletedProcess[str]:
    """Run a site's manage.py."""
    file = directory / "manage.py"
    file.write_text(dedent(MANAGE).format(url=url, ca=str(ca), app=app), "utf-8")
    return subprocess.run(
        [sys.executable, "-W", "error", str(file), *arguments],
        env={name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE")},
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


def test_it_says_where_mail_goes_and_that_nothing_was_sent(sandbox: Sandbox, options: dict[str, Any]) -> None:
    with override_settings(**mailers(options)):
        text = said()
    assert f"submits to 127.0.0.1:{sandbox.port(587)} starttls, as me@example.org" in text
    assert "logged in; nothing was sent" in text
    assert not Scanner(PASSWORD).text(text)
    assert (len(sandbox.sessions), sandbox.messages) == (1, ())


@pytest.mark.long
def test_a_site_may_have_it_by_its_long_name(sandbox: Sandbox, tmp_path: Path) -> None:
    app = "portmail.integrations.django"
    done = manage(sandbox.url, "portmail", "check", ca=sandbox.ca, app=app, directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing was sent" in done.stdout


def test_a_password_that_is_refused_is_exit_code_77(sandbox: Sandbox, tmp_path: Path) -> None:
    url = sandbox.url.replace("battery", "wrong")
    done = manage(url, "portmail", "check", ca=sandbox.ca, app="portmail.django", directory=tmp_path)
    assert done.returncode == 77
    assert "535" in done.stdout
    assert not Scanner(PASSWORD, PASSWORD.replace("battery", "wrong")).text(done.stdout + done.stderr)


@pytest.mark.long
def test_settings_that_cannot_be_met_are_told_before(sandbox: Sandbox, tmp_path: Path) -> None:
    url = "submission://me:correct%20horse@x/path"
    done = manage(url, "portmail", "check", ca=sandbox.ca, app="portmail.django", directory=tmp_path)
    assert done.returncode == 1
    assert "portmail.E001" in done.stderr
    assert "horse" not in done.stdout + done.stderr


def test_no_route_is_exit_code_69(sandbox: Sandbox, options: dict[str, Any]) -> None:
    sandbox.close_port(587)
    with override_settings(**mailers({**options, "retry": portmail.Retry(attempts=1)})):
        with pytest.raises(SystemExit) as caught:
            said()
    assert caught.value.code in (69, 75)


def test_another_backend_is_told(sandbox: Sandbox) -> None:
    with override_settings(**mailers({}, backend=LOCMEM)), pytest.raises(CommandError, match="locmem"):
        said()


def test_an_alias_may_be_named(sandbox: Sandbox, options: dict[str, Any]) -> None:
    others: Any = {"other": options} if MAILERS else {}
    with override_settings(**mailers(options, **others)):
        assert "nothing was sent" in said(using="other" if MAILERS else "default")
        with pytest.raises(CommandError, match="nowhere"):
            said(using="nowhere")


def test_an_action_that_there_is_not_is_refused() -> None:
    with pytest.raises(CommandError, match="sned"):
        call_command("portmail", "sned", OTHER)
