"""What does a netrc file say of a host? A user name and a password, and nothing of ports or TLS."""

from __future__ import annotations

import netrc as standard
from pathlib import Path

from portmail.errors import ConfigurationError
from portmail.importing.found import Asked, Found, NothingFound, listed, one_line, told_if_unreadable


def read(asked: Asked) -> Found:
    """The login for a host, in `source` or in ~/.netrc.

    Raises:
        ConfigurationError: the file cannot be read or parsed, or has no such host.
    """
    path = asked.source or "~/.netrc"
    try:
        with told_if_unreadable(path, what="netrc"):
            known = standard.netrc(str(Path(path).expanduser()))
    except standard.NetrcParseError as exc:  # its text may quote a password
        raise ConfigurationError(f"{one_line(path)}, about line {exc.lineno}: that is no netrc") from None
    host = asked.host or ""
    login = known.authenticators(host)
    if login is None:
        machines = listed(set(known.hosts) - {"default"})
        raise NothingFound(f"{one_line(path)} has no machine {one_line(host)}: it has {machines or 'none'}")
    username, account, password = login
    notes = ["netrc says nothing of ports and TLS: smtp:// means verified TLS on 587, then on 465"]
    if host not in known.hosts:
        notes.append(f"there is no machine {one_line(host)}: this is the default entry")
    if account:
        notes.append("account: SMTP has no such thing, it is left out")
    if not username:
        notes.append("there is no login: without a user name nobody logs in")
    return Found(
        where=f"{one_line(path)}, machine {one_line(host)}",
        host=host,
        username=username or None,
        password=password or None,
        notes=tuple(notes),
        how_to_get_password=None if password else "there is no password: put it into PORTMAIL_PASSWORD_FILE",
    )
