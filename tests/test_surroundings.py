"""What is known of this machine? What the system says, and nothing that the network was asked."""

from __future__ import annotations

import socket
from typing import NoReturn

import pytest

from portmail import surroundings
from portmail.case import Surroundings
from portmail.hosting import Hosting
from portmail.surroundings import here

DROPLET = Hosting("droplets", "Droplets", frozenset({25, 465}), "Droplets block.", "2026-01-01", "x")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of no provider, with a network."""
    monkeypatch.setattr(surroundings, "hosted_at", lambda **_: None)
    monkeypatch.setattr(surroundings, "is_online", lambda: True)


def test_of_a_machine_of_one_s_own_nothing_is_told() -> None:
    assert here() == Surroundings()


@pytest.mark.parametrize("online", [True, False])
def test_a_machine_is_online_or_not(online: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "is_online", lambda: online)
    assert here().online is online


@pytest.mark.parametrize("alive", [None, True, False])
def test_what_the_caller_knows_is_passed_on(alive: bool | None) -> None:
    assert here(alive=alive, username="me") == Surroundings(alive=alive, username="me")


def test_a_provider_is_told_with_its_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "hosted_at", lambda **_: DROPLET)
    assert here() == Surroundings(place="Droplets", blocks=frozenset({25, 465}), policy="Droplets block.")


def test_it_is_the_program_s_environment_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        surroundings, "hosted_at", lambda *, environ: DROPLET if environ.get("A_PLATFORM") else None
    )
    assert here().place == ""
    monkeypatch.setenv("A_PLATFORM", "1")
    assert here().place == "Droplets"


def test_nobody_in_the_network_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    def refused(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a name was resolved")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket.socket, "send", refused)
    monkeypatch.setattr(socket.socket, "sendto", refused)
    here()
