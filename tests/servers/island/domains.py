"""Who lives on the island? Its domains, as zone files and web pages, and the addresses of its hosts.

Every domain has one user, me@DOMAIN. `you@example.org` receives mail.
"""

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping

from tests.servers.https import Answer, redirect, reply

RESOLVER = "127.0.0.1"
NAMESERVER = "127.0.0.53"
WEB = "127.0.1.1"
SILENT = "127.0.1.2"
"""What is sent to this address is dropped."""

MAIL: Mapping[str, str] = {
    host: f"127.0.2.{number}"
    for number, host in enumerate(
        (
            "mail.srv.test",
            "mail.hoster.test",
            "mail.stranger.test",
            "mail.elsewhere.test",
            "mail.gmx.net",
            "smtp.fastmail.com",
            "smtp.office365.com",
            "smtp.listed.test",
            "smtp.known.test",
            "mail.bogus.test",
            "mail.xn--bcher-kva.test",
            "smtp.quiet.test",
            "smtp.slow.test",
            "mail.corp.internal",
            "smtp.pacc.test",
        ),
        start=1,
    )
}
"""Hosts with a submission server, each with an address and a certificate of its own."""

ADDRESSES: Mapping[str, str] = {**MAIL, "autoconfig.slow.test": SILENT, "autoconfig.auto.test": WEB}


_PACC = json.dumps({"protocols": {"smtp": {"host": "smtp.pacc.test"}}, "authentication": {"password": True}})


def _digest(text: str) -> str:
    return b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _srv(host: str) -> str:
    return f"_submissions._tcp SRV 0 1 465 {host}.\n_submission._tcp SRV 0 1 587 {host}.\n"


def _a(*hosts: str) -> str:
    return "".join(f"{host}. A {MAIL.get(host, WEB)}\n" for host in hosts)


ZONES: Mapping[str, str] = {
    "srv.test": _srv("mail.srv.test") + _a("mail.srv.test"),
    # The same in another domain, where nobody vouches for it; and where somebody does.
    "foreign.test": _srv("mail.stranger.test"),
    "stranger.test": _a("mail.stranger.test"),
    "signed.test": _srv("mail.hoster.test"),
    "hoster.test": _a("mail.hoster.test"),
    "bogus.test": _srv("mail.bogus.test") + _a("mail.bogus.test"),
    "auto.test": _a("autoconfig.auto.test"),
    "elsewhere.test": _a("mail.elsewhere.test"),
    "known.test": _a("known.test", "smtp.known.test"),
    "downhill.test": _a("autoconfig.downhill.test"),
    "slow.test": f"autoconfig A {SILENT}\n" + _a("smtp.slow.test"),
    "listed.test": _a("smtp.listed.test"),
    "thunderbird.net": _a("autoconfig.thunderbird.net"),
    "wildest.test": _a("www.wildest.test") + "* SRV 0 0 443 www.wildest.test.\n",
    "corp.internal": _srv("mail.corp.internal") + _a("mail.corp.internal"),
    "pacc.test": _a("ua-auto-config.pacc.test", "smtp.pacc.test")
    + f'_ua-auto-config TXT "v=UAAC1; a=sha256; d={_digest(_PACC)}"\n',
    "wild.test": _a("www.wild.test") + "* CNAME www\n",
    "xn--bcher-kva.test": _srv("mail.xn--bcher-kva.test") + _a("mail.xn--bcher-kva.test"),
    "custom.test": "@ MX 10 in1-smtp.messagingengine.com.\n",
    "company.test": "@ MX 0 company-test.mail.protection.outlook.com.\n",
    "quiet.test": _a("smtp.quiet.test"),
    "gmx.net": _a("mail.gmx.net"),
    "fastmail.com": _a("smtp.fastmail.com"),
    "office365.com": _a("smtp.office365.com"),
}
SIGNED = ("signed.test", "bogus.test")
BOGUS = "bogus.test"
"""A signed zone, of which the resolver knows another key."""
FAILING = "broken.test"
"""A zone of which the nameserver can tell nothing."""


def _config(domain: str, host: str) -> str:
    """A configuration file as providers have them."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="{domain}">
    <domain>{domain}</domain>
    <incomingServer type="imap">
      <hostname>imap.{domain}</hostname><port>993</port><socketType>SSL</socketType>
      <username>%EMAILADDRESS%</username><authentication>password-cleartext</authentication>
    </incomingServer>
    <outgoingServer type="smtp">
      <hostname>{host}</hostname><port>465</port><socketType>SSL</socketType>
      <username>%EMAILADDRESS%</username><authentication>password-cleartext</authentication>
    </outgoingServer>
    <outgoingServer type="smtp">
      <hostname>{host}</hostname><port>587</port><socketType>STARTTLS</socketType>
      <username>%EMAILADDRESS%</username><authentication>password-cleartext</authentication>
    </outgoingServer>
  </emailProvider>
</clientConfig>
"""


_AUTOCONFIG = "/mail/config-v1.1.xml"

NAMES = (
    "autoconfig.auto.test",
    "known.test",
    "autoconfig.downhill.test",
    "autoconfig.thunderbird.net",
    "ua-auto-config.pacc.test",
    "*.wild.test",
    "www.wildest.test",
)
"""The web server's certificates."""

PAGES: Mapping[str, Answer] = {
    f"autoconfig.auto.test{_AUTOCONFIG}": redirect("https://known.test/for/auto.xml"),
    "known.test/for/auto.xml": reply(_config("auto.test", "mail.elsewhere.test")),
    f"known.test/.well-known/autoconfig{_AUTOCONFIG}": reply(_config("known.test", "smtp.known.test")),
    "autoconfig.thunderbird.net/v1.1/listed.test": reply(_config("listed.test", "smtp.listed.test")),
    f"autoconfig.downhill.test{_AUTOCONFIG}": redirect(f"http://autoconfig.downhill.test{_AUTOCONFIG}"),
    "ua-auto-config.pacc.test/.well-known/user-agent-configuration.json": reply(_PACC),
    f"autoconfig.wild.test{_AUTOCONFIG}": reply("<!DOCTYPE html><html><body>Welcome!</body></html>"),
}
"""What is there over https, by host and path."""

USERS: Mapping[str, str] = {f"me@{domain}": "correct horse" for domain in (*ZONES, "bücher.test")}
