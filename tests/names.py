"""How is a name found without a resolver?"""

import socket
from typing import Any

import pytest


def found_on_loopback(name: str, *, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this name have the address of loopback, and leave all others as they are."""
    resolve = socket.getaddrinfo

    def found(host: str, *rest: Any, **options: Any) -> Any:
        return resolve("127.0.0.1" if host == name and not options.get("flags") else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", found)
