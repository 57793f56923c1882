"""Which defects has a client on purpose? For each, the proof must show a fault."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import portmail
from tests.proof.lifecycle.programs.clients import Portmail, Server


class _OneRoom(dict[int, Any]):
    """The first entry is everybody's."""

    def get(self, _key: int, default: Any = None, /) -> Any:
        return next(iter(self.values()), default)


class SharesItsLoop(Portmail):
    """A defect: the child waits for its parent's thread."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.mail._loop._rooms = _OneRoom()

    def send(self, number: int) -> None:
        rooms: Any = self.mail._loop._rooms
        for room in rooms.values():
            room.current.thread.is_alive = lambda: True
        super().send(number)


class Twice(Portmail):
    """A defect: it sends again what was accepted."""

    def send(self, number: int) -> None:
        super().send(number)
        super().send(number)


class Optimist(Portmail):
    """A defect: it says "sent" whatever happens."""

    def send(self, number: int) -> None:
        with suppress(Exception):
            super().send(number)


class Pessimist(Portmail):
    """A defect: it says "not sent" of what was accepted."""

    def send(self, number: int) -> None:
        super().send(number)
        raise portmail.Unreachable("not sent")


class Foreigner(Portmail):
    """A defect: it raises what is not its own."""

    def send(self, number: int) -> None:
        try:
            super().send(number)
        except portmail.PortmailError as exc:
            raise RuntimeError(str(exc)) from exc


class Deaf(Portmail):
    """A defect: it loses an interrupt."""

    def send(self, number: int) -> None:
        try:
            super().send(number)
        except KeyboardInterrupt:
            raise portmail.Unreachable("interrupted") from None


class Denier(Portmail):
    """A defect: whatever is interrupted was not sent, it says."""

    def send(self, number: int) -> None:
        try:
            super().send(number)
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None


class Leaky(Portmail):
    """A defect: a descriptor stays open."""

    def close(self) -> None:
        super().close()
        os.dup(1)
