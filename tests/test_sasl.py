"""How are credentials put into words? The examples of the RFCs, and the choice of one mechanism."""

from __future__ import annotations

from base64 import b64encode

import pytest

from portmail.sasl import MECHANISMS, choose
from portmail.security import SecretKind

PASSWORD, TOKEN = SecretKind.PASSWORD, SecretKind.TOKEN
BY_NAME = {mechanism.name: mechanism for mechanism in MECHANISMS}


def responses(name: str, username: str, secret: str, *challenges: bytes) -> list[bytes]:
    """What the mechanism answers to these challenges, one a step."""
    steps = BY_NAME[name].steps
    return [
        step(username.encode(), secret.encode(), challenge)
        for step, challenge in zip(steps, challenges, strict=True)
    ]


def test_plain_is_that_of_rfc_4616() -> None:
    assert responses("PLAIN", "tim", "tanstaaftanstaaf", b"") == [b"\0tim\0tanstaaftanstaaf"]


def test_login_gives_the_name_and_then_the_password() -> None:
    assert responses("LOGIN", "tim", "tanstaaf", b"User Name\0", b"Password\0") == [b"tim", b"tanstaaf"]


def test_cram_md5_is_that_of_rfc_2195() -> None:
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    assert responses("CRAM-MD5", "tim", "tanstaaftanstaaf", challenge) == [
        b"tim b913a602c7eda7a495b4e6e7334d3890"
    ]


def test_xoauth2_is_that_of_googles_documentation() -> None:
    token = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"
    first, second = responses("XOAUTH2", "someuser@example.com", token, b"", b'{"status":"401"}')
    assert b64encode(first) == (
        b"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRx"
        b"bVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
    )
    # The reason of a refusal comes as a challenge, which an empty response answers.
    assert second == b""


@pytest.mark.parametrize(
    ("name", "first"),
    [("PLAIN", True), ("LOGIN", False), ("CRAM-MD5", False), ("XOAUTH2", True)],
)
def test_a_mechanism_speaks_first_where_it_needs_no_challenge(name: str, first: bool) -> None:
    assert BY_NAME[name].speaks_first is first


@pytest.mark.parametrize(
    ("offered", "kind", "chosen"),
    [
        pytest.param("PLAIN LOGIN CRAM-MD5", PASSWORD, "PLAIN", id="the best for a password"),
        pytest.param("CRAM-MD5 LOGIN PLAIN", PASSWORD, "PLAIN", id="our order, not the server's"),
        pytest.param("CRAM-MD5 LOGIN", PASSWORD, "LOGIN", id="the next for a password"),
        pytest.param("CRAM-MD5", PASSWORD, "CRAM-MD5", id="the last for a password"),
        pytest.param("plain", PASSWORD, "PLAIN", id="in any case"),
        pytest.param("PLAIN LOGIN XOAUTH2", TOKEN, "XOAUTH2", id="for a token"),
        pytest.param("XOAUTH2", PASSWORD, None, id="a password is no token"),
        pytest.param("PLAIN LOGIN CRAM-MD5 OAUTHBEARER", TOKEN, None, id="a token is no password"),
        pytest.param("GSSAPI NTLM SCRAM-SHA-256 PLAIN-CLIENTTOKEN", PASSWORD, None, id="none of ours"),
        pytest.param("", PASSWORD, None, id="nothing"),
    ],
)
def test_one_mechanism_is_chosen_by_the_kind_of_secret(
    offered: str, kind: SecretKind, chosen: str | None
) -> None:
    mechanism = choose(offered.split(), kind=kind)
    assert (mechanism.name if mechanism else None) == chosen
