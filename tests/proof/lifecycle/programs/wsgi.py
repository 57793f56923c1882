"""How does a WSGI application submit? By one client of its module, used before the server forked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from tests.proof.lifecycle.programs.clients import Server
from tests.proof.lifecycle.programs.making import made
from tests.proof.lifecycle.programs.words import attempt

_MAIL = made(Server(*json.loads(os.environ["PORTMAIL_PROOF_SERVER"])))
attempt(_MAIL.send, 1)


def application(environ: Mapping[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    """A message for each request, by the one client of the module."""
    number = int(environ["PATH_INFO"].strip("/"))
    attempt(_MAIL.send, number)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
