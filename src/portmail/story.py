"""What is told of a situation? Who is behind it, what it is in words, and what to do: one table.

The texts are English and the keys of the translations. `{placeholders}` are filled in by `diagnosis.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from portmail.situation import Blocker, Situation


class Story(NamedTuple):
    """What a situation is, in words; who is behind it; what to do about it."""

    blocker: Blocker
    headline: str
    advice: str


INSTEAD = (
    "Use {open} instead, which is open, with your user name and password: as the account URL {url} or with "
    "port={port} in the settings."
)
"""What to do where another way is open than those that were asked for."""

ELSEWHERE = (
    "Use another network (a mobile phone's); if it is the same there, the server's operator has to switch "
    "TLS on."
)
"""What to do about a port without TLS, where 465 is closed as well."""

_TAMPERED = (
    "Do not send over this network until you know why: ask who runs it. A quick test is another network, "
    "such as a mobile phone's."
)

STORIES: Mapping[Situation, Story] = MappingProxyType(
    {
        Situation.OPEN: Story(Blocker.NOBODY, "Mail can go out: {open} is open.", ""),
        Situation.OPEN_IN_PART: Story(
            Blocker.NOBODY,
            "Mail can go out by {open}. The way by {ports} of {host} is not open: {why}.",
            "Nothing needs to be done: portmail takes the open route and remembers it for this network.",
        ),
        Situation.TAMPERED_IN_PART: Story(
            Blocker.NETWORK,
            "Mail can go out by {open}. But the way by {ports} of {host} is not secure here: {why}.",
            "Credentials are shown to {open} alone. If you do not know why that is, ask the network's "
            "operator, or the server's.",
        ),
        Situation.INSECURE_IN_PART: Story(
            Blocker.SERVER,
            "Mail can go out by {open}. But the way by {ports} of {host} is not secure: {why}.",
            "Credentials are shown to {open} alone. The server's operator can mend the other way.",
        ),
        Situation.RELAY_OPEN: Story(
            Blocker.NOBODY,
            "Mail can go out by {open} alone, without a login: to addresses of the server's own, or from its "
            "own network. The way by {ports} of {host} is not open: {why}.",
            "If you have a user name and password for it, give them (you@ in the account URL): then port 587 "
            "or 465 is what counts.",
        ),
        Situation.OPEN_UNENCRYPTED: Story(
            Blocker.NOBODY,
            "Mail can go out by {open}, but unencrypted, and without a login.",
            "Inside a network of your own that may do; else use a server with a login on port 587 or 465.",
        ),
        Situation.LOGGED_IN: Story(
            Blocker.NOBODY, "Mail can go out: {open} is open and took the login of {username}.", ""
        ),
        Situation.LOGIN_REFUSED: Story(
            Blocker.ACCOUNT,
            "The way is open ({open}), but the server refused the login of {username}: {why}.",
            "Check the user name and the password or token.",
        ),
        Situation.LOGIN_FAILED: Story(
            Blocker.SERVER,
            "The way is open ({open}), but the login of {username} did not work: {why}.",
            "Try again later; if it stays like that, the server's operator can tell.",
        ),
        Situation.NO_SECRET: Story(
            Blocker.SETTINGS,
            "The way is open ({open}), but the password or token of {username} could not be fetched: {why}.",
            "Mend what fetches it (the callable that was given as password or token).",
        ),
        Situation.OFFLINE: Story(
            Blocker.MACHINE,
            "This machine has no network connection at all.",
            "Connect this machine (cable, Wi-Fi, VPN), then try again.",
        ),
        Situation.RESOLVER_DOWN: Story(
            Blocker.RESOLVER,
            "The name {host} could not be looked up: the DNS resolver does not answer, or answers "
            "with an error.",
            "Check the name servers of this machine (/etc/resolv.conf), or try again in a minute.",
        ),
        Situation.NO_SUCH_HOST: Story(
            Blocker.SETTINGS,
            "There is no host of the name {host}.",
            "Check the spelling; your mail provider's help pages name its server for outgoing mail (SMTP).",
        ),
        Situation.UNREACHABLE: Story(
            Blocker.NETWORK,
            "This machine is connected, but has no way to {host}.",
            "Check the address, the VPN and the routing table; perhaps only IPv6 or only IPv4 works here.",
        ),
        Situation.PORTAL: Story(
            Blocker.NETWORK,
            "A web page answers in place of {host}: this network wants you to log in to it first.",
            "Open any page in a browser, log in or accept the terms, then try again.",
        ),
        Situation.INTERCEPTED: Story(
            Blocker.MACHINE,
            "{name} opens the encrypted connection to {host} and shows a certificate of its own: "
            "a virus scanner on this machine, or a company's proxy.",
            "Only if you know that it is installed here: switch off its scanning of outgoing mail, or give "
            "its root certificate as PORTMAIL_CA (tls_ca). Else do not send over this network: somebody may "
            "be listening.",
        ),
        Situation.PROXY: Story(
            Blocker.NETWORK,
            "On {ports} of {host} a server answers that calls itself {name} and offers no encryption: most "
            "likely a proxy of this network, or else the server's own name at its hosting provider.",
            "Use another of the server's ports, such as 465, or another network.",
        ),
        Situation.STRIPPED: Story(
            Blocker.NETWORK,
            "Something between here and {host} removes the encryption (STARTTLS) on {ports}. "
            "No password was shown.",
            _TAMPERED,
        ),
        Situation.NO_STARTTLS: Story(
            Blocker.SERVER,
            "{host} offers no encryption (STARTTLS) on {ports}, or something on the way removes it.",
            "Use port 465 with implicit TLS if the server has it; else its operator has to switch TLS on.",
        ),
        Situation.CLEAR_AUTH: Story(
            Blocker.SERVER,
            "{host} takes logins on {ports} only unencrypted, and to that no password is shown.",
            "Use port 465 with implicit TLS if the server has it; else its operator has to switch TLS on.",
        ),
        Situation.INJECTED: Story(
            Blocker.NETWORK,
            "Somebody on the way put words of his own into the connection to {host}: that is an attack.",
            _TAMPERED,
        ),
        Situation.CERTIFICATE_EXPIRED: Story(
            Blocker.SERVER,
            "The certificate of {host} is not valid today: {why}.",
            "Check this machine's clock; if it is right, the server's operator has to renew the certificate.",
        ),
        Situation.CERTIFICATE_NAME: Story(
            Blocker.SETTINGS,
            "The server at {host} shows a certificate for another name: {why}.",
            "Take the server's name from your provider's help pages; if it is this one, the server's "
            "operator has to mend the certificate.",
        ),
        Situation.CERTIFICATE_UNTRUSTED: Story(
            Blocker.SERVER,
            "The certificate of {host} comes from an issuer that is not trusted here: {why}.",
            "For a private CA give its file as PORTMAIL_CA (tls_ca); else the server lacks its intermediate "
            "certificates, or somebody on the way pretends to be it.",
        ),
        Situation.CERTIFICATE_INVALID: Story(
            Blocker.SERVER,
            "The certificate of {host} is not valid: {why}.",
            "The server's operator has to replace it.",
        ),
        Situation.CLIENT_CERTIFICATE: Story(
            Blocker.SETTINGS,
            "{host} wants a client certificate that it trusts.",
            "Give its file, with the key in it, as client_cert.",
        ),
        Situation.TLS_ON_PLAIN_PORT: Story(
            Blocker.SETTINGS,
            "TLS was spoken at once on {ports} of {host}, where STARTTLS has to come first "
            '("wrong version number").',
            "Use STARTTLS on that port (security=Security.STARTTLS).",
        ),
        Situation.PLAIN_ON_TLS_PORT: Story(
            Blocker.SETTINGS,
            "{host} is silent on {ports} because it waits for TLS: it speaks implicit TLS there, "
            "not STARTTLS.",
            "Use implicit TLS on that port (security=Security.IMPLICIT_TLS).",
        ),
        Situation.TLS_FAILED: Story(
            Blocker.SERVER,
            "The encryption with {host} could not be set up: {why}.",
            "The server's operator can tell; a very old server has no TLS 1.2.",
        ),
        Situation.TURNED_AWAY: Story(
            Blocker.SERVER,
            "{host} answers, but takes nothing from this machine: {why}.",
            "The server's operator can tell why; often this machine's address is on a block list. Use "
            "another server, or one with a login.",
        ),
        Situation.BUSY: Story(
            Blocker.SERVER,
            "{host} answers, but not now: {why}.",
            "Try again in some minutes.",
        ),
        Situation.NO_MECHANISM: Story(
            Blocker.SERVER,
            "{host} is open and secure, but offers no login that fits: {why}.",
            "Check the host: this may be a server for incoming mail. A password needs PLAIN, LOGIN "
            "or CRAM-MD5, a token XOAUTH2.",
        ),
        Situation.NOT_SMTP: Story(
            Blocker.SETTINGS,
            "What answers on {ports} of {host} is not a mail server: {why}.",
            "Check host and port; a proxy on the way may answer in its place.",
        ),
        Situation.RELAY_BLOCKED: Story(
            Blocker.NETWORK,
            "Port 25 of {host} does not answer: most likely this network lets nothing out on it, as most "
            "providers do against spam (OP25B in Japan).",
            "Use a server that takes a login on port 587 or 465: that of your provider, or of a mail account "
            "of yours.",
        ),
        Situation.OTHER_PORT_OPEN: Story(
            Blocker.NETWORK, "The way by {ports} of {host} is closed from here: {why}.", INSTEAD
        ),
        Situation.WRONG_PORT: Story(
            Blocker.SETTINGS, "{host} is there, but nothing listens on {ports}.", INSTEAD
        ),
        Situation.BLOCKED_BY_HOSTING: Story(
            Blocker.HOSTING,
            "{host} cannot be reached on {ports}: this machine runs at {place}, which blocks that by policy.",
            "",  # the place's own words
        ),
        Situation.PROHIBITED: Story(
            Blocker.NETWORK,
            'Connections to {ports} of {host} are answered with "unreachable": most likely a firewall '
            "forbids them.",
            "Ask who runs this network or this machine's firewall to allow port 587 or 465 out.",
        ),
        Situation.PROHIBITED_HERE: Story(
            Blocker.MACHINE,
            "This machine itself forbids connections to {ports} of {host}.",
            "Look at its firewall, its routes (ip route) and, in a container, its security policy.",
        ),
        Situation.DROPPED: Story(
            Blocker.NETWORK,
            "Connections to {ports} of {host} are cut off as soon as they stand: by a firewall that looks "
            "inside, or by the server, which does not want this machine.",
            "Try another network (a mobile phone's); if it works there, ask this network's operator.",
        ),
        Situation.MUTE: Story(
            Blocker.NETWORK,
            "Connections to {ports} of {host} are taken, and then nobody speaks: something on the way took "
            "them, or the server is overloaded.",
            "Try another network (a mobile phone's); if it works there, ask this network's operator.",
        ),
        Situation.BLOCKED: Story(
            Blocker.NETWORK,
            "{host} is there, but does not answer on {ports}: a firewall on the way drops outgoing mail, "
            "most likely that of this network or, on a rented server, of the hosting provider.",
            "Ask them to open port 587 or 465 for outgoing connections, or use another network (a mobile "
            "phone's) or a mail service that also takes port 2525 or HTTPS.",
        ),
        Situation.NO_MAIL_PORT: Story(
            Blocker.UNKNOWN,
            "{host} is there, but does not answer on {ports}: a firewall drops outgoing mail, or this is not "
            "the name of the server for outgoing mail.",
            "Look up your provider's server for outgoing mail (SMTP) in its help pages. If it is this one, "
            "ask who runs this network (on a rented server: the hosting provider) to open port 587 or 465.",
        ),
        Situation.SILENT: Story(
            Blocker.UNKNOWN,
            "{host} does not answer on {ports}: the host is down, or a firewall on the way drops the "
            "connections.",
            "Check the host name and the VPN, if one is needed, and whether this network wants you to log in "
            "first (open any page in a browser). Try another network (a mobile phone's): if it answers "
            "there, this network or your hosting provider blocks outgoing mail.",
        ),
        Situation.REFUSED: Story(
            Blocker.UNKNOWN,
            "{host} is there, but nothing listens on {ports}.",
            "Check host and port: your provider's help pages name its server for outgoing mail (SMTP). "
            "If they are right, the mail server is not running, or a firewall refuses in its place.",
        ),
        Situation.OTHER: Story(
            Blocker.UNKNOWN,
            "No route to {host} works: {why}.",
            "See below how each of them ended.",
        ),
    }
)


class Note(Enum):
    """What else is worth knowing; each is a sentence."""

    INSTEAD = INSTEAD
    CLOSED = "The way by {ports} of {host} is not open: {why}."
    PERHAPS_OFF = "If {host} stands in your own network, it may be switched off."
    RELAY_CLOSED = (
        "Port 25 does not answer, as is usual at home and in clouds, where it is closed on the way out "
        "(OP25B); for sending with a login it is not needed."
    )
    IMPOSTOR = (
        "{host} is known as a mail server, and its certificate to be in order: something on the way answers "
        "in its place (this network, its hosting provider, a virus scanner)."
    )
    IPV6_DEAD = (
        "IPv6 leads nowhere ({why}); portmail goes by IPv4. Other programs may hang: mend "
        "IPv6, or switch it off."
    )
    IPV4_DEAD = "IPv4 leads nowhere ({why}); portmail goes by IPv6."
    IPV6_FAILS = (
        "By IPv4 {open} is open, but mail takes IPv6 first, and that fails behind the connection ({why}): "
        "ask the server's operator, or switch IPv6 off on this machine."
    )
    IPV4_FAILS = (
        "By IPv6 {open} is open, but mail takes IPv4 first, and that fails behind the connection ({why}): "
        "ask the server's operator."
    )
    WEAKER = (
        "{route} is weaker than a way that failed to be secure, and so is not taken. To use it on purpose, "
        "give it alone: {url}."
    )
    PERHAPS_TLS = (
        "A port for implicit TLS is silent like this: if {ports} is one, use security=Security.IMPLICIT_TLS."
    )
    POLICY = "{policy}"
    EXPIRES = "The certificate of {host} expires on {date}."
    HINT = "{hint}"
