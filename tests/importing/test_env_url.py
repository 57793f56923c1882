"""Is an EMAIL_URL read as its program reads it, and is the trap of `smtps://` told?"""

from __future__ import annotations

import pytest

from portmail.errors import ConfigurationError
from portmail.importing.found import NothingFound
from tests.importing.reading import Account, fed_back, translated, warnings

LOGIN = ("me", "pw")
H = "mail.example.com"
PICK = f"{H}:587 starttls, {H}:465 implicit-tls"

CASES = [
    ("django", f"smtp://{H}", f"{H}:25 opportunistic"),
    ("django", f"smtp://{H}:1025", f"{H}:1025 opportunistic"),
    ("django", f"smtp://me:pw@{H}", PICK),
    ("django", f"smtp://me:pw@{H}:587", f"{H}:587 starttls"),
    ("django", f"smtp://me:pw@{H}:587/?tls=True", f"{H}:587 starttls"),
    ("django", f"smtp://me:pw@{H}:465/?ssl=True", f"{H}:465 implicit-tls"),
    ("django", f"smtp://me:pw@{H}:465/?EMAIL_USE_SSL=True", f"{H}:465 implicit-tls"),
    ("django", f"smtps://me:pw@{H}", f"{H}:587 starttls"),
    ("django", f"smtps://me:pw@{H}:587", f"{H}:587 starttls"),
    ("django", f"smtps://me:pw@{H}:2587", f"{H}:2587 starttls"),
    ("django", f"smtps://me:pw@{H}:465", f"{H}:465 implicit-tls"),
    ("django", f"smtps://me:pw@{H}:465?ssl=on", f"{H}:465 implicit-tls"),
    ("django", f"smtp+tls://me:pw@{H}:587", f"{H}:587 starttls"),
    ("django", f"smtp+ssl://me:pw@{H}", f"{H}:465 implicit-tls"),
    ("django", f"smtp+ssl://me:pw@{H}?tls=True", f"{H}:465 implicit-tls"),
    ("django", f"submission://me:pw@{H}", f"{H}:587 starttls"),
    ("django", f"submit://me:pw@{H}:25", f"{H}:25 starttls"),
    ("symfony", f"smtp://me:pw@{H}", f"{H}:465 implicit-tls"),
    ("symfony", f"smtp://me:pw@{H}:465", f"{H}:465 implicit-tls"),
    ("symfony", f"smtp://me:pw@{H}:587", f"{H}:587 starttls"),
    ("symfony", f"smtp://me:pw@{H}:25?require_tls=true", f"{H}:25 starttls"),
    ("symfony", "smtp://localhost", "localhost:25 opportunistic"),
    ("symfony", f"smtps://me:pw@{H}", f"{H}:465 implicit-tls"),
    ("symfony", f"smtps://me:pw@{H}?require_tls=true", f"{H}:465 implicit-tls"),
    ("nodemailer", f"smtp://me:pw@{H}", PICK),
    ("nodemailer", f"smtp://me:pw@{H}/?requireTLS=true", f"{H}:587 starttls"),
    ("nodemailer", f"smtp://me:pw@{H}:465/?secure=true", f"{H}:465 implicit-tls"),
    ("nodemailer", f"smtp://{H}", f"{H}:587 opportunistic"),
    ("nodemailer", f"smtps://me:pw@{H}", f"{H}:465 implicit-tls"),
    ("nodemailer", f"smtps://me:pw@{H}/?requireTLS=true", f"{H}:465 implicit-tls"),
    ("nodemailer", f"smtps://me:pw@{H}/?ignoreTLS=true", f"{H}:465 implicit-tls"),
]


@pytest.mark.parametrize(("dialect", "url", "routes"), CASES)
def test_each_scheme_means_what_it_means_there(dialect: str, url: str, routes: str) -> None:
    back = fed_back(translated("env-url", url, dialect=dialect))
    assert (back.routes, back.login) == (routes, LOGIN if "@" in url else None)


@pytest.mark.parametrize(
    ("port", "words"),
    [
        (":587", "implicit TLS to portmail: here it is submission:// (STARTTLS)"),
        ("", "implicit TLS to portmail: here it is submission:// (STARTTLS)"),
        (":465", "so it is submissions:// (there it is STARTTLS on 465)"),
    ],
)
def test_smtps_is_told_aloud_where_it_means_starttls(port: str, words: str) -> None:
    [warning] = warnings(translated("env-url", f"smtps://me:pw@{H}{port}"))
    assert warning.startswith("WARNING: smtps:// is STARTTLS to django-environ and dj-email-url")
    assert warning.endswith(words)


@pytest.mark.parametrize(
    ("dialect", "url"),
    [
        ("symfony", f"smtps://me:pw@{H}"),
        ("nodemailer", f"smtps://me:pw@{H}"),
        ("symfony", f"smtp://me:pw@{H}:465"),
        ("symfony", f"smtp://me:pw@{H}"),
        ("django", f"submission://me:pw@{H}"),
    ],
)
def test_what_means_the_same_there_and_here_needs_no_words(dialect: str, url: str) -> None:
    assert translated("env-url", url, dialect=dialect).notes == ()


@pytest.mark.parametrize(
    ("url", "login"),
    [
        (f"submission://me%40example.com:p%2Fw@{H}", ("me@example.com", "p/w")),
        (f"submission://me@example.com:p@s:w@{H}", ("me@example.com", "p@s:w")),
        (f"submission://me:100%25+%@{H}", ("me", "100%+%")),
        (f"submission://me:%FF@{H}", ("me", "\udcff")),
    ],
)
def test_raw_and_encoded_characters_are_read_as_there(url: str, login: tuple[str, str]) -> None:
    assert fed_back(translated("env-url", url)).login == login


@pytest.mark.parametrize(
    "url",
    [
        f"smtp://me:s3#cret@{H}",
        f"smtp://me:12#cret@{H}",
        f"smtp://me:12/cret@{H}",
        f"smtp://me:12?cret@{H}",
        f"smtp://me:s3[cret@{H}",
        f"smtp://me:s3\u2100cret@{H}",
        f"smtp://me:cret@{H}:s3cret",
    ],
)
def test_a_password_that_cuts_the_url_is_told_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="raw /, ") as told:
        translated("env-url", url)
    assert "s3" not in str(told.value)
    assert "cret" not in str(told.value)
    assert told.value.__cause__ is None


def test_options_are_carried_over_or_told() -> None:
    url = f"submission://{H}/?timeout=9&_default_from_email=Me+<me@x.org>&_server_email=a@x.org&foo=1&verify_peer=0"
    translation = translated("env-url", url)
    assert fed_back(translation) == Account(f"{H}:587 starttls", None, "Me <me@x.org>")
    assert [note.partition(":")[0] for note in translation.notes] == [
        "WARNING",
        "timeout",
        "_server_email",
        "options that are not carried over",
    ]
    assert "verify_peer is off" in translation.notes[0]
    assert translation.notes[3].endswith(": foo")
    quiet = translated(
        "env-url", f"smtp://{H}:587/x?tls.rejectUnauthorized=false", dialect="nodemailer"
    ).notes
    assert quiet[0].startswith("WARNING: tls.rejectunauthorized is off")
    assert quiet[1] == "what stands behind the host means nothing for SMTP: left out"


@pytest.mark.parametrize(
    ("dialect", "variable"), [(None, "EMAIL_URL"), ("django", "EMAIL_URL"), ("symfony", "MAILER_DSN")]
)
def test_the_url_is_read_from_the_usual_variable(
    dialect: str | None, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(NothingFound, match=f"{variable} is not set"):
        translated("env-url", dialect=dialect)
    monkeypatch.setenv(variable, f"smtps://me:pw@{H}:465")
    assert fed_back(translated("env-url", dialect=dialect)).routes == f"{H}:465 implicit-tls"


def test_a_variable_of_another_name_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_FOR_US", f"smtp://{H}")
    assert "MAIL_FOR_US" in translated("env-url", "MAIL_FOR_US").found.where
    with pytest.raises(ConfigurationError, match="which URL"):
        translated("env-url", dialect="nodemailer")


@pytest.mark.parametrize(
    "url", ["consolemail://", "memory://", "sendgrid://key@", "failover(smtp://a smtp://b)"]
)
def test_what_is_no_smtp_is_told(url: str) -> None:
    with pytest.raises(NothingFound, match="no SMTP to django-environ") as told:
        translated("env-url", url)
    assert "key" not in str(told.value)
