"""How an application's tests see its mail. The fixtures come with portmail, there is nothing to import.

pip install "portmail[sandbox]" pytest
pytest test_signup.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import portmail

if TYPE_CHECKING:
    from portmail.integrations.pytest.outbox import Outbox
    from portmail.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("no_mail")  # whatever a test forgets, nothing is sent to anybody


def sign_up(address: str) -> bool:
    """The application."""
    try:
        portmail.send(to=address, subject="Welcome", text="Your code is 4711.\n", sender="app@example.com")
    except portmail.Rejected:
        return False
    return True


def test_a_new_user_is_welcomed(portmail_outbox: Outbox) -> None:
    assert sign_up("ann@example.org")
    portmail_outbox.assert_sent(to="ann@example.org", subject="Welcome", text="4711")


def test_an_address_that_is_refused_is_no_user(portmail_outbox: Outbox) -> None:
    portmail_outbox.reject("gone@example.org")
    assert not sign_up("gone@example.org")
    portmail_outbox.assert_nothing_sent()


def test_it_is_what_arrives(portmail_sandbox: Sandbox) -> None:  # a real server, on loopback
    assert sign_up("ann@example.org")
    [received] = portmail_sandbox.messages
    assert (received.recipients, received.tls) == (("ann@example.org",), "TLSv1.3")


def test_where_tls_is_taken_away_nothing_is_sent(portmail_sandbox: Sandbox) -> None:
    portmail_sandbox.strip_starttls()
    with pytest.raises(portmail.InsecureChannel):
        sign_up("ann@example.org")
    assert not portmail_sandbox.messages
