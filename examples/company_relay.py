"""A relay through a company's server: no login, TLS if the server offers it.

python company_relay.py relay://smarthost.corp ops@intranet
"""

import sys
from email.message import EmailMessage

import portmail


def main(url: str, recipient: str) -> int:
    message = EmailMessage()
    message["From"] = "backup@intranet"
    message["To"] = recipient
    message["Subject"] = "Backup finished"
    message.set_content("All volumes are copied.\n")

    with portmail.Submitter.from_url(url) as mail:
        try:
            receipt = mail.send(message)
        except portmail.Rejected as error:
            print(f"{mail} does not take it: {error.reply}", file=sys.stderr)
            return 1
    how = f"over {receipt.tls.version}" if receipt.tls else "unencrypted"
    print(f"handed to {receipt.route.host} {how}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
