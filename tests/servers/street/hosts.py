"""What runs at the other end of the street? Mail and names, until standard input ends.

Its first line there says that the wires are laid.
"""

import json
import sys
from pathlib import Path

import trustme

from tests.servers import postfix, unbound
from tests.servers.street import certificates
from tests.servers.street.plan import HOST, MAIL, RESOLVER, USERS

# On 25 it is somebody's MX: mail for others is refused, and there is no login.
_SERVICES = """\
{address}:25 inet n - n - - smtpd
    -o smtpd_tls_chain_files={pem}
    -o smtpd_sasl_auth_enable=no -o smtpd_relay_restrictions=reject_unauth_destination
{address}:587 inet n - n - - smtpd
    -o smtpd_tls_chain_files={pem}
{address}:465 inet n - n - - smtpd
    -o smtpd_tls_chain_files={pem}
    -o smtpd_tls_wrappermode=yes -o smtpd_tls_security_level=encrypt
"""


def main(root: Path) -> None:
    """Start everything, and say where mail is delivered."""
    authority = trustme.CA()
    certificates.write(root, authority=authority)
    if not sys.stdin.readline():
        return
    addresses = (MAIL[4], f"[{MAIL[6]}]")
    pem = root / f"{certificates.GOOD}.pem"
    services = "".join(_SERVICES.format(address=address, pem=pem) for address in addresses)
    with (
        postfix.running(
            root, users=USERS, settings={"myhostname": HOST}, services=services, authority=authority
        ) as mail,
        unbound.running(root, stubs={}, address=RESOLVER, port=53),
    ):
        print(json.dumps({"mail": str(mail.root)}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
