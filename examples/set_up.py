"""Set up an account: only the address is known. What would be used, and what to do where that is not clear.

python examples/set_up.py me@example.com
"""

from __future__ import annotations

import sys

import portmail


def set_up(address: str) -> None:
    with portmail.Submitter(address) as mail:
        first = mail.discover().candidates[0]
    print(f"{address} submits at {first.route}")
    if first.username is None:
        print("The user name does not follow from the address: ask for it, and give username=.")
    if first.logins and portmail.Login.PASSWORD not in first.logins:
        print("It takes no password: have your users log in with OAuth 2, and give token= a callable.")
    if first.note:
        print(f"Note: {first.note}.")


def main(*arguments: str) -> int:
    if len(arguments) != 1:
        print(__doc__)
        return 64
    [address] = arguments
    try:
        set_up(address)
    except portmail.ApprovalRequired as error:
        host = error.candidate.route.host if error.candidate else "the host"
        print(f"Is {host} your provider's? Then run this, and try again:")
        print(f"portmail discover {address} --approve {host}")
        return 77
    except portmail.PortmailError as error:
        print(error)  # who was asked, what they said, and what to do
        return 75 if error.temporary else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
