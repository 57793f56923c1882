"""Which settings follow from what was found? Routes, the user name, and whether our credentials fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from portmail.candidate import DOMAIN, FULL_ADDRESS, LOCAL_PART, PLACEHOLDER, Candidate, Login, Rejection
from portmail.errors import CredentialsUnusable, TokenRequired, UsernameRequired
from portmail.search import Search
from portmail.security import SecretKind
from portmail.settings import Settings


def with_candidates(settings: Settings, candidates: Sequence[Candidate]) -> Settings:
    """The settings with the routes found, and with the user name that is wanted there.

    Raises:
        TokenRequired: there is a password, and the provider takes none.
        UsernameRequired: the user name does not follow from the address.
        CredentialsUnusable: there are none, and the provider wants some.
    """
    search = settings.search
    assert search is not None  # or nothing would have been looked for
    fitting = [it for it in candidates if _takes(it, settings=settings)]
    if not fitting:
        raise _unfit(candidates[0], settings=settings)
    one = of_one_user(fitting, search=search)
    account = settings.credentials
    if account is not None and search.username is None:
        account = replace(account, username=_username(one.used[0], search=search))
    return replace(settings, routes=tuple(it.route for it in one.used), credentials=account)


class OneUser(NamedTuple):
    """Candidates for which one user name does, and those that want another: two are never tried."""

    used: tuple[Candidate, ...]
    rejected: tuple[Rejection, ...]


def of_one_user(candidates: Sequence[Candidate], *, search: Search) -> OneUser:
    """Those of the same user name as the first; all of them where the user said what it is."""
    form = candidates[0].username
    used = tuple(it for it in candidates if search.username is not None or it.username == form)
    rejected = tuple(
        Rejection(str(it.route), it.source, "it wants another user name than the first; no two are tried")
        for it in candidates
        if it not in used
    )
    return OneUser(used, rejected)


def filled_in(template: str, *, address: str) -> str:
    """A user name, from its template and the address."""
    local, _, domain = address.rpartition("@")
    parts = {FULL_ADDRESS: address, LOCAL_PART: local, DOMAIN: domain}
    return PLACEHOLDER.sub(lambda match: parts[match[0]], template)


def _takes(candidate: Candidate, *, settings: Settings) -> bool:
    """Whether our credentials, or that we have none, could be any good there."""
    account = settings.credentials
    if not candidate.logins:  # it does not say
        return True
    if account is None:
        return Login.NONE in candidate.logins or settings.client_cert is not None
    # A server may take tokens that a source does not tell of; its EHLO says.
    return account.kind is SecretKind.TOKEN or Login.PASSWORD in candidate.logins


def _unfit(candidate: Candidate, *, settings: Settings) -> CredentialsUnusable:
    host, note = candidate.route.host, f" ({candidate.note})" if candidate.note else ""
    if settings.credentials is None:
        return CredentialsUnusable(
            f"{host} wants a login. Nothing was connected.\nWhat to do: give password= or token="
        )
    if Login.OAUTH2 not in candidate.logins:
        return CredentialsUnusable(
            f"{host} wants no login. Nothing was connected.\nWhat to do: leave the credentials out"
        )
    return TokenRequired(
        f"a password will not work at {host}, which takes OAuth 2 tokens alone{note}. Nothing was connected."
        "\nWhat to do: give token= in place of password=; if you know better, give host="
    )


def _username(candidate: Candidate, *, search: Search) -> str:
    if candidate.username is None:
        host, note = candidate.route.host, f" ({candidate.note})" if candidate.note else ""
        raise UsernameRequired(
            f"the user name at {host} does not follow from {search.address}{note}. Nothing was connected.\n"
            "What to do: give username="
        )
    return filled_in(candidate.username, address=search.address)
