"""What does a client cost that has no server to wait for? A server process that does nothing with mail.

    python -m tests.benchmarks.sink server.pem --extensions PIPELINING CHUNKING

It accepts any login (AUTH PLAIN), everything for everybody (but for recipients whose address begins
with `refused`), and keeps no message. All that arrived at once is answered in one write. The first line
on its standard output says its ports; every line on its standard input is answered with what
every connection did so far; it ends with its standard input.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import ssl
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tests.benchmarks.dialogue import Dialogue, House, Tally
from tests.benchmarks.wire import FastWire

EXTENSIONS = ("PIPELINING", "CHUNKING", "SIZE 100000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
LOOPBACK = "127.0.0.1"


def main() -> None:
    """Serve until standard input ends."""
    options = _parser().parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.certificate)
    ledger = os.open(options.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if options.ledger else None
    house = House(context, tuple(options.extensions), rtt=options.rtt, ledger=ledger, last=options.last)
    tallies: list[Tally] = []
    ports = {
        name: _listen(port, partial(_answer, house=house, implicit=name == "implicit", tallies=tallies))
        for name, port in (("implicit", options.implicit), ("starttls", options.starttls))
    }
    print(json.dumps(ports), flush=True)
    for _question in sys.stdin:
        print(json.dumps([asdict(tally) for tally in tallies]), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sink")
    parser.add_argument("certificate", type=Path, help="a PEM file with the key and the certificate")
    parser.add_argument("--extensions", nargs="*", default=EXTENSIONS, help="what EHLO offers")
    parser.add_argument("--implicit", type=int, default=0, help="the port where TLS comes first")
    parser.add_argument("--starttls", type=int, default=0, help="the port with STARTTLS")
    parser.add_argument("--ledger", type=Path, help="a file for the Message-ID of every accepted message")
    parser.add_argument(
        "--last", type=int, help="of how many messages in the ledger it dies, the reply unsaid"
    )
    parser.add_argument(
        "--rtt", type=float, default=0.0, help="seconds in which no answer to a reply can have come"
    )
    return parser


def _listen(port: int, answer: partial[None]) -> int:
    listener = socket.create_server((LOOPBACK, port), backlog=128)
    threading.Thread(target=_accept, args=(listener, answer), daemon=True).start()
    return int(listener.getsockname()[1])


def _accept(listener: socket.socket, answer: partial[None]) -> None:
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=answer, args=(sock,), daemon=True).start()


def _answer(sock: socket.socket, *, house: House, implicit: bool, tallies: list[Tally]) -> None:
    tallies.append(tally := Tally())
    with sock, suppress(OSError):
        wire = FastWire(sock)
        if implicit:
            wire.secure(house.context)
        Dialogue(wire, house=house, tally=tally).hold()


if __name__ == "__main__":
    main()
