"""Who does a server say that it is? The name in its EHLO reply, and greetings that were blotted out."""

from __future__ import annotations

import ipaddress
import re

from portmail.reply import Reply

_MASKED = re.compile(r"\*{8}|X{8}")
"""How mail inspection in routers blots out a greeting."""

_KINDS = re.compile("ac|ad|com?|edu?|go|gob|gov|gr|lg|ltd|me|mil|ne|net|nom|org?|plc|sch")
"""Under what countries register names; short names such as web.de's are none of these."""

_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+")


NOBODY = "?"
"""The name of who has none."""

_CALLED = re.compile(r"it calls itself ([^\s,]+)")


def name_in(hello: Reply) -> str:
    """The full host name that a reply to EHLO begins with (RFC 5321 section 4.1.1.1); empty without one."""
    name = (hello.text.split("\n")[0].split() or [""])[0].lower().removesuffix(".")
    return name if _NAME.fullmatch(name) and not _is_address(name) else ""


def foreign_name(hello: Reply, *, host: str) -> str:
    """The name by which the server calls itself, if it is of another organisation than the host's.

    It proves nothing alone: many providers' servers have names of another domain of theirs.
    """
    name = name_in(hello)
    if not name or "." not in host or _is_address(host) or _organisation(name) == _organisation(host):
        return ""
    return name


def name_told(detail: str) -> str:
    """The foreign name in what was told of a server that has one."""
    found = _CALLED.search(detail)
    return found[1] if found else NOBODY


def is_masked(greeting: Reply) -> bool:
    """Whether something on the way blotted out the greeting."""
    return _MASKED.search(greeting.text) is not None


def _organisation(name: str) -> str:
    """The domain that somebody registered, as far as labels tell it: three of example.co.jp, else two."""
    labels = name.lower().split(".")
    country_with_kinds = len(labels[-1]) == 2 and _KINDS.fullmatch(labels[-2])
    return ".".join(labels[-3 if country_with_kinds else -2 :])


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
