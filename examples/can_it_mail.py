"""A check for a monitoring system: can this machine still mail, and for how long is the certificate good?

The account comes from the environment. The exit code is 0 where all is well, 1 for a warning, 2 where
mail cannot go out:

    PORTMAIL_URL=submission://web1%40example.com@mail.example.com
    PORTMAIL_PASSWORD_FILE=/run/secrets/mail
    python can_it_mail.py --login
"""

import sys

import portmail

SOON = 14
"""Days before the end of a certificate that are a warning."""


def main(*options: str) -> int:
    with portmail.Submitter.from_env() as mail:
        report = mail.check(login="--login" in options)
    if not report.can_send:
        print(f"CRITICAL: {report}")  # who blocks it, and what to do
        return 2
    proven = [probe.days_left for probe in report.probes if probe.used and probe.tls and probe.tls.peer_name]
    days = min((days for days in proven if days is not None), default=SOON)
    if days < SOON:
        print(f"WARNING: a certificate ends in {days} days\n{report}")
        return 1
    print(f"OK: {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
