"""Which PORTMAIL_ variables count, where a framework has settings of its own? Never those of two accounts."""

from __future__ import annotations

import os
from collections.abc import Mapping

URL, CA = "PORTMAIL_URL", "PORTMAIL_CA"
VARIABLES = (
    *(URL, CA),
    "PORTMAIL_USERNAME",
    "PORTMAIL_PASSWORD",
    "PORTMAIL_PASSWORD_FILE",
    "PORTMAIL_FROM",
)


def variables(given: Mapping[str, str], *, elsewhere: bool) -> Mapping[str, str]:
    """The variables that count: those given in the settings, and what the environment adds to them.

    The environment's are of one account. They count where the settings name no server, or the same
    URL, or a URL where the environment has none; its password is not for the server of another. `elsewhere`
    is whether the settings name a server in another way. Who is trusted is no matter of an account:
    PORTMAIL_CA always counts.
    """
    theirs = {name: value for name in VARIABLES if (value := os.environ.get(name))}
    ours, account = given.get(URL), theirs.get(URL)
    if elsewhere or not (ours or account) or (ours and account and ours != account):
        return {CA: theirs[CA], **given} if CA in theirs else dict(given)
    return {**theirs, **given}
