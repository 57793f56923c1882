"""Is what is printed what was found? The way, the characters, and the files that it is written to."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portmail.errors import ConfigurationError
from portmail.importing.account_url import account_url
from portmail.importing.found import Found
from portmail.importing.writing import password_path, password_text, translate, write_private
from portmail.route import Route
from portmail.security import Security
from portmail.settings import from_environment
from tests.importing.reading import Account, account, fed_back, warnings

STARTTLS, IMPLICIT = Security.STARTTLS, Security.IMPLICIT_TLS
CLEAR, OFFERED = Security.PLAINTEXT, Security.OPPORTUNISTIC

WAYS = {
    # what is said there, its port, the usual port there: the URL with credentials, and without
    (STARTTLS, 587, 25): ("submission://me@h", "submission://h"),
    (STARTTLS, None, 587): ("submission://me@h", "submission://h"),
    (STARTTLS, None, 25): ("submission://me@h", "submission://h:25"),
    (STARTTLS, 25, 25): ("submission://me@h:25", "submission://h:25"),
    (STARTTLS, 465, 25): ("submission://me@h:465", "submission://h:465"),
    (IMPLICIT, 465, 25): ("submissions://me@h", "submissions://h"),
    (IMPLICIT, None, 465): ("submissions://me@h", "submissions://h"),
    (IMPLICIT, 587, 465): ("submissions://me@h:587", "submissions://h:587"),
    (CLEAR, 587, 25): ("submission://me@h", "relay://h:587"),
    (CLEAR, 465, 25): ("submissions://me@h", "submissions://h"),
    (CLEAR, 25, 25): ("submission://me@h:25", "relay://h"),
    (CLEAR, 2525, 25): ("submission://me@h:2525", "relay://h:2525"),
    (CLEAR, None, 25): ("smtp://me@h", "relay://h"),
    (OFFERED, None, 587): ("smtp://me@h", "relay://h:587"),
    (OFFERED, 587, 587): ("submission://me@h", "relay://h:587"),
    (None, None, None): ("smtp://me@h", "smtp://h"),
}


@pytest.mark.parametrize(("said", "urls"), WAYS.items(), ids=str)
def test_the_way_is_the_one_that_is_meant_and_encrypted_where_there_are_credentials(
    said: tuple[Security | None, int | None, int | None], urls: tuple[str, str]
) -> None:
    security, port, usual = said
    both = [
        Found(where="there", host="h", security=security, port=port, usual_port=usual, username=name)
        for name in ("me", None)
    ]
    assert tuple(map(account_url, both)) == urls
    for found in both:
        settings = translate(found).settings
        assert all(route.security.encrypted for route in settings.routes) or found.username is None


@pytest.mark.parametrize(
    ("security", "port", "words"),
    [
        (CLEAR, 25, "the password travels in clear. Not here: verified STARTTLS on 25, or nothing is sent"),
        (CLEAR, 465, "Not here: verified implicit TLS on 465"),
        (CLEAR, None, "Not here: TLS on 587, then on 465"),
        (
            OFFERED,
            587,
            "who takes the offer out of the line gets the password in clear. Not here: verified STARTTLS",
        ),
        (STARTTLS, 465, "STARTTLS on port 465 is answered by hardly any server"),
    ],
)
def test_what_is_weak_or_odd_there_is_said_aloud(security: Security, port: int | None, words: str) -> None:
    found = Found(where="there", host="h", security=security, port=port, usual_port=25, username="me")
    [warning] = warnings(translate(found))
    assert words in warning
    assert f"# {warning}" in list(translate(found).lines)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Found("there", "h", None, 25, STARTTLS, "me"), "no port is said: there that means 25, here 587"),
        (Found("there", "h", None, 25, CLEAR), "it asks for no TLS; relay:// takes TLS where it is offered"),
        (
            Found("there", "h", 465, 25, CLEAR),
            "port 465, which is for implicit TLS: here it is verified implicit",
        ),
    ],
)
def test_another_way_than_there_is_told(found: Found, words: str) -> None:
    assert words in translate(found).notes[0]
    assert warnings(translate(found)) == []


def test_the_same_way_needs_no_words() -> None:
    assert translate(Found("there", "h", 587, 25, STARTTLS)).notes == ()
    assert translate(Found("there", "h", None, 25, STARTTLS)).notes == ()


NASTY = "p@s#s/w?o:r%d &;|<>$`\"'\\~*!(){}[]=^+,é€😀\t\udcff"


def nasty(*, sender: str | None = None) -> Found:
    return Found(
        "there",
        "mail.example.com",
        587,
        587,
        STARTTLS,
        username=f"~me:{NASTY[:-2]}",
        password=NASTY,
        sender=sender,
    )


def test_every_character_survives() -> None:
    back = fed_back(translate(nasty(), show_password=True))
    assert back == Account("mail.example.com:587 starttls", (f"~me:{NASTY[:-2]}", NASTY))


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
)
def test_any_name_and_password_survive(username: str, password: str) -> None:
    found = Found("there", "h", 587, 587, STARTTLS, username=username, password=password)
    url = account_url(found, password=password)
    assert account(from_environment({"PORTMAIL_URL": url})).login == (username, password)
    assert set(url) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:/@%_.-")


def test_a_shell_reads_the_lines_as_they_are(tmp_path: Path) -> None:
    translation = translate(nasty(sender="~Me & Co <me@example.com>"), show_password=True)
    file = tmp_path / "env"
    file.write_text("\n".join(translation.lines))
    for shell in ("sh", "bash"):
        told = subprocess.run(
            [shell, "-c", 'set -a; . "$0"; exec env -0', str(file)],
            env={"HOME": "/there", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            check=True,
        )
        assert told.stderr == b""
        seen = dict(line.split("=", 1) for line in told.stdout.decode().split("\0") if line)
        assert {name: seen[name] for name in seen if name.startswith("PORTMAIL")} == translation.environment


@pytest.mark.parametrize("host", ["::1", "fe80::1%eth0", "bücher.example", "MAIL.example.com."])
def test_any_host_survives(host: str) -> None:
    found = Found("there", host, 2525, 25, STARTTLS)
    assert translate(found).settings.routes == (Route(host, 2525, STARTTLS),)


def test_a_sender_and_authorities_are_lines_or_options() -> None:
    plain = translate(Found("there", "h", 587, 587, STARTTLS, sender="me@example.com", tls_ca="/etc/ca.pem"))
    assert plain.environment == {
        "PORTMAIL_URL": "submission://h",
        "PORTMAIL_FROM": "me@example.com",
        "PORTMAIL_CA": "/etc/ca.pem",
    }
    named = translate(
        Found("there", "h", 587, 587, STARTTLS, sender="Me <me@example.com>", tls_ca="/etc/ca.pem")
    )
    assert named.environment["PORTMAIL_URL"] == "submission://h?from=Me%20%3Cme%40example.com%3E"
    assert fed_back(named) == Account("h:587 starttls", None, "Me <me@example.com>", "/etc/ca.pem")
    both = translate(
        Found("there", "h", 587, 587, STARTTLS, sender="Me <me@example.com>", tls_ca="/my ca.pem")
    )
    assert both.notes == ("PORTMAIL_CA cannot be written without quotes: set it yourself to /my ca.pem",)


def test_a_sender_that_is_no_address_is_told_and_left_out() -> None:
    translation = translate(Found("there", "h", 587, 587, STARTTLS, sender="me\nyou"))
    assert translation.notes == ("the sender 'me you' is no address: it is left out",)
    assert "PORTMAIL_FROM" not in translation.environment


def test_no_line_is_broken_by_what_somebody_wrote() -> None:
    translation = translate(Found("there", "h", 587, 587, STARTTLS, notes=("a\nPORTMAIL_URL=x\x1b[2J",)))
    assert list(translation.lines)[1] == "# a PORTMAIL_URL=x?[2J"


def test_the_password_is_shown_on_request_only() -> None:
    found = Found("there", "h", 587, 587, STARTTLS, username="me", password="s3cret-word")
    translation = translate(found)
    assert "s3cret-word" not in f"{found!r}{translation!r}{translation.data}{list(translation.lines)}"
    assert "--password-file FILE" in translation.notes[-1]
    assert "s3cret-word" not in repr(translate(found, show_password=True))
    assert "s3cret-word" in str(translate(found, show_password=True).data)


def test_the_password_in_its_file_is_the_one_that_portmail_reads(tmp_path: Path) -> None:
    found = nasty()
    path = password_path(str(tmp_path / "password"))
    write_private((path, password_text(found)))
    assert Path(path).stat().st_mode & 0o777 == 0o600
    translation = translate(found, password_file=path)
    assert NASTY not in "".join(translation.lines)
    assert fed_back(translation).login == (found.username, NASTY)


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("there", "link"):
        with pytest.raises(ConfigurationError, match="exists, and is left as it is"):
            write_private((str(tmp_path / "new"), "ours"), (str(tmp_path / name), "ours"))
        assert not (tmp_path / "new").exists()
    assert (tmp_path / "there").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Found("there", "h", password="x"), "there has no password to write"),
        (Found("there", "h", username="me", how_to_get_password="ask"), "no password to write: ask"),
        (Found("there", "h", username="me", password="x\r"), "ends with a line end"),
    ],
)
def test_a_password_that_no_file_can_have_is_told(found: Found, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        password_text(found)


def test_what_portmail_would_not_take_is_not_printed() -> None:
    for found in (
        Found("there", "no host", 587, 587, STARTTLS),
        Found("there", "h", 99999, 587, STARTTLS),
        Found("there", "h", 587, 587, STARTTLS, username="me", password="\0"),
        Found("there", "h", 587, 587, STARTTLS, username="a\nb", password="x"),
    ):
        with pytest.raises(ConfigurationError):
            translate(found, show_password=True)
