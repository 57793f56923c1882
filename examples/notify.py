"""A script that notifies: mail when a disk is nearly full.

The account comes from the environment:

    PORTMAIL_URL=submission://web1%40example.com@mail.example.com
    PORTMAIL_PASSWORD_FILE=/run/secrets/mail
    python notify.py ops@example.org / 90
"""

import shutil
import sys

import portmail


def main(recipient: str, path: str, limit: str) -> int:
    disk = shutil.disk_usage(path)
    percent = 100 * disk.used // disk.total
    if percent < int(limit):
        print(f"{path}: {percent} % used, below {limit} %: no mail")
        return 0
    try:
        receipt = portmail.send(
            to=recipient,
            subject=f"Disk {percent} % full",
            text=f"{path} has {disk.free // 2**20} MiB left.\n",
            sender="web1@example.com",
        )
    except portmail.PortmailError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"told {', '.join(receipt.accepted)} through {receipt.route}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
