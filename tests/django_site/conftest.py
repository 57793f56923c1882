"""One site for all tests of this process: Django takes its settings once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import django
import pytest
from django.conf import settings
from django.core.mail.utils import DNS_NAME
from django.test import override_settings

from portmail.sandbox import Sandbox
from tests.django_site.site import ADMINS, FROM, mailers

if not settings.configured:
    settings.configure(
        INSTALLED_APPS=["portmail.django"],
        DEFAULT_FROM_EMAIL=FROM,
        SERVER_EMAIL="root@example.com",
        ADMINS=ADMINS,
        MANAGERS=ADMINS,
        SECRET_KEY="x" * 60,
        USE_TZ=True,
    )
    django.setup()
    DNS_NAME._fqdn = "web.example.com"  # Django would ask the network

Options: TypeAlias = dict[str, Any]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own account is not a test's."""
    for name in ("URL", "USERNAME", "PASSWORD", "PASSWORD_FILE", "FROM", "CA"):
        monkeypatch.delenv(f"PORTMAIL_{name}", raising=False)


@pytest.fixture
def broken_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the site's, for its tokens, that cannot be loaded."""
    (tmp_path / "broken_tokens.py").write_text("import os\nSECRET = os.environ['NO_SUCH_VARIABLE']\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def mailing_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the site's, for its tokens, that logs while it is loaded."""
    text = "import logging\nlogging.getLogger('site').error('careful')\ndef get(): return 'a token'\n"
    (tmp_path / "mailing_tokens.py").write_text(text)
    monkeypatch.delitem(sys.modules, "mailing_tokens", raising=False)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def options(sandbox: Sandbox) -> Options:
    """The options of a site that sends to the sandbox."""
    return {"url": sandbox.url, "tls_ca": str(sandbox.ca)}


@pytest.fixture
def site(options: Options) -> Iterator[Options]:
    """The site sends to the sandbox."""
    with override_settings(**mailers(options)):
        yield options
