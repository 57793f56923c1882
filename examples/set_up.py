"""Set up an account: only the address is known. What would be used, and what to do where that is not clear.

python examples/set_up.py me@example.com
"""

from __future__ import annotations

import sys

import portmail


def main(address: str) -> int:
    with portmail.Submitter(address) as mail:
        try:
            findings = mail.discover()
        except portmail.ApprovalRequired as error:
            host = error.candidate.route.host if error.candidate else "that host"
            print(f"Is {host} your provider's? Then run this, and try again:")
            print(f"portmail discover {address} --approve {host}")
            return 1
        except portmail.DiscoveryError as error:
            print(error)  # who was asked, what they said, and what to do
            return 75 if error.temporary else 1
    first = findings.candidates[0]
    print(f"{address} submits at {first.route}")
    if first.logins and portmail.Login.PASSWORD not in first.logins:
        print("It takes no password: have your users log in with OAuth 2, and give token= a callable.")
    elif first.note:
        print(f"Ask for {first.note}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
