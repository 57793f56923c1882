"""An explicit envelope: bounces go to an address that says whose they are, the header stays as it is.

PORTMAIL_URL=submission://me:secret@mail.example.com python explicit_envelope.py 4711 ann@example.org
"""

import sys

import portmail


def main(issue: str, subscribers: list[str]) -> None:
    message = portmail.compose(
        to="Readers <list@example.com>",
        subject=f"Newsletter {issue}",
        text="The news of this week.\n",
        sender="Editors <editors@example.com>",
    )
    with portmail.Submitter.from_env() as mail:
        for number, subscriber in enumerate(subscribers):
            bounces = f"bounce+{issue}-{number}@example.com"
            receipt = mail.send(message, sender=bounces, recipients=[subscriber])
            print(f"{subscriber}: {receipt.reply.code}, bounces to {receipt.sender}")
        # An automatic answer must not be answered: the null reverse-path (RFC 3834).
        note = portmail.compose(to=subscribers[0], subject="Thank you", sender="editors@example.com")
        receipt = mail.send(note, sender="")
        print(f"{subscribers[0]}: {receipt.reply.code}, bounces to nobody")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
