"""Does the player play what the script says, and tell when a client does something else?"""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from portmail.sandbox.certificates import Authority
from tests.servers.clients import NAME, reply_of
from tests.servers.dialogue import Player, play


@contextmanager
def visiting(player: Player) -> Iterator[tuple[socket.socket, BinaryIO]]:
    with socket.create_connection(("127.0.0.1", player.port), 5) as sock, sock.makefile("rb") as file:
        yield sock, file


def client_of(player: Player) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", player.port, local_hostname=NAME, timeout=5)


def test_a_dialogue_goes_from_clear_to_tls_and_is_written_down(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    script = """
        # as a submission server would
        S: 220 mail.example.com ESMTP
        C: EHLO *
        S: 250-mail.example.com
        S: 250 STARTTLS
        C: STARTTLS
        S: 220 go ahead
        TLS
        C: EHLO *
        S: 250-mail.example.com
        S: 250 AUTH PLAIN
        C: AUTH PLAIN *
        S: 535 5.7.8 no
        C: QUIT
        S: 221 bye
        CLOSE
    """
    with play(script, tls=authority.server_context("127.0.0.1")) as player:
        with client_of(player) as client:
            client.starttls(context=ssl.create_default_context(cafile=authority.ca_path))
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("me", "secret")
        player.check()
        assert player.plaintext == b"ehlo client.example\r\nSTARTTLS\r\n"
        assert player.received.endswith(b"AUTH PLAIN AG1lAHNlY3JldA==\r\nQUIT\r\n")
        assert player.transcripts[0][-4:] == [
            "C: AUTH PLAIN AG1lAHNlY3JldA==",
            "S: 535 5.7.8 no",
            "C: QUIT",
            "S: 221 bye",
        ]
        assert player.connections == 1


def test_a_mismatch_is_shown_as_a_dialogue() -> None:
    with play("S: 220 hello\nC: EHLO *\nS: 250 hello") as player:
        with client_of(player) as client, pytest.raises(smtplib.SMTPServerDisconnected):
            client.docmd("HELO", "me")
        with pytest.raises(AssertionError) as caught:
            player.check()
    assert str(caught.value).splitlines() == [
        "connection 1 did not follow its script:",
        "after",
        "    S: 220 hello",
        "expected",
        "    C: EHLO *",
        "got",
        "    C: HELO me",
    ]


def test_what_is_said_after_the_script_is_a_mismatch_but_leaving_is_not() -> None:
    with play("S: 220 hello") as player:
        client_of(player).close()
        with client_of(player) as client:
            assert client.quit() == (221, b"2.0.0 bye")
        player.check()
        with client_of(player) as client, pytest.raises(smtplib.SMTPServerDisconnected):
            client.noop()
    with pytest.raises(AssertionError, match=r"connection 3 (.|\n)*nothing more"):
        player.check()


def test_every_connection_gets_its_script_and_the_last_one_repeats() -> None:
    with play(["S: 421 busy\nCLOSE", "S: 220 hello"]) as player:
        greetings = []
        for _ in range(3):
            with visiting(player) as (_sock, file):
                greetings.append(reply_of(file))
    assert greetings == ["421 busy", "220 hello", "220 hello"]
    assert player.transcripts == [["S: 421 busy"], ["S: 220 hello"], ["S: 220 hello"]]


def test_bodies_are_kept_as_they_travel() -> None:
    script = """
        S: 354 go ahead
        BODY
        S: 250 ok
        C: BDAT * LAST
        CHUNK
        S: 250 ok
        BODY-WITHOUT-DOT 4
        RESET
    """
    with play(script) as player, visiting(player) as (sock, file):
        sock.sendall(b"..one\r\n.\r\nBDAT 3 LAST\r\n\n.\nhalf")
        assert [reply_of(file) for _ in range(3)] == ["354 go ahead", "250 ok", "250 ok"]
        with pytest.raises(ConnectionResetError):
            file.read()
        assert player.bodies == [b"..one\r\n", b"\n.\n", b"half"]
        player.check()


def test_raw_octets_travel_in_one_piece_with_the_lines_around_them() -> None:
    script = r"""
        S: 220-a
        RAW "220 go\r\n250 injected\xff\r\n"
    """
    with play(script) as player, visiting(player) as (sock, _file):
        assert sock.recv(100) == b"220-a\r\n220 go\r\n250 injected\xff\r\n"


def test_a_server_may_answer_a_client_hello_in_plain_text() -> None:
    with play("S: 220 go ahead\nPLAINTEXT\nS: 500 what?\nCLOSE") as player:
        with visiting(player) as (sock, file):
            assert reply_of(file) == "220 go ahead"
            with pytest.raises(ssl.SSLError):
                ssl.create_default_context().wrap_socket(sock, server_hostname="localhost")
        player.check()
        assert player.plaintext[0] == 22


def test_plain_text_in_place_of_a_handshake_is_a_mismatch(tmp_path: Path) -> None:
    with play("TLS", tls=Authority(tmp_path).server_context("localhost")) as player:
        with visiting(player) as (sock, file):
            sock.sendall(b"AUTH PLAIN secret\r\n")
            assert file.read() == b""
        with pytest.raises(AssertionError, match="a TLS handshake"):
            player.check()
    assert player.plaintext == b"AUTH PLAIN secret\r\n"


def test_silence_and_pauses_end_with_the_player_and_nothing_is_left() -> None:
    before = set(threading.enumerate())
    with play(["SILENCE", "PAUSE 60"]) as player, visiting(player) as (sock, _), visiting(player):
        sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        player.check()
    assert player.connections == 2
    assert set(threading.enumerate()) <= before


def test_a_script_that_makes_no_sense_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="'X: what' is no line of a dialogue"):
        play("X: what")
    with pytest.raises(ValueError, match="TLS needs a context"):
        play("TLS")
