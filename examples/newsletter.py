"""A newsletter: one message for each reader of a CSV file (columns: address, name), and what became of each.

The account comes from the environment. The letters are made while they are sent: a million
readers need no more memory than a hundred.

    PORTMAIL_URL=submission://me%40example.com:secret@mail.example.com
    python newsletter.py readers.csv letter.txt
"""

import csv
import sys
from collections import Counter
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import portmail


def letters(readers: Path, text: str) -> Iterator[EmailMessage]:
    with readers.open(encoding="utf-8", newline="") as file:
        for reader in csv.DictReader(file):
            letter = EmailMessage()
            letter["From"] = "Example <news@example.com>"
            letter["To"] = reader["address"]
            letter["Subject"] = "What is new"
            letter["List-Unsubscribe"] = "<mailto:unsubscribe@example.com>"
            letter.set_content(text.format(name=reader["name"]))
            yield letter


def outcome(result: portmail.Result[EmailMessage]) -> str:
    if result.receipt is not None:
        return "accepted"
    if isinstance(result.error, portmail.InDoubt):
        return "in doubt"
    later = isinstance(result.error, portmail.DeliveryError) and result.error.temporary
    return "later" if later else "refused"


def main(readers: str, letter: str) -> int:
    text = Path(letter).read_text(encoding="utf-8")
    count: Counter[str] = Counter()
    with portmail.Submitter.from_env() as mail:
        for result in mail.send_many(letters(Path(readers), text)):
            count[outcome(result)] += 1
            if result.error is not None:
                print(f"{result.message['To']}: {result.error}", file=sys.stderr)
    print(", ".join(f"{number} {what}" for what, number in count.items()))
    return 0 if count.keys() <= {"accepted"} else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
