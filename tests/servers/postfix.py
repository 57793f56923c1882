"""A real Postfix, with Dovecot doing its SASL, that lives in one private directory.

The system's own Postfix is neither read nor written to, and nothing leaves loopback: there is no
smtp(8) client in master.cf, and every destination that is not virtual is an error.
"""

import base64
import hmac
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.servers.requirements import LOOPBACK, certify, daemon, free_ports, greets, home, logs

NOBODY_THERE = "nobody-there@example.org"
REFUSED_SENDER = "refused@example.org"
# 256 octets: what configuration files trip over, all of printable ASCII, all octets above 127.
_WILD = (*"é🔑%u\"'\\\\: {PLAIN.HEX}00 #;$= ".encode(), *range(0x20, 0x7F), *range(0x80, 0x100))
WILD_PASSWORD = bytes(_WILD).decode("utf-8", "surrogateescape")

_QUEUES = "active bounce corrupt defer deferred flush hold incoming private public saved trace"

# A refused sender is refused at MAIL (smtpd_delay_reject), and a mail is delivered as it was
# submitted whatever its addresses look like (local_header_rewrite_clients and what follows).
_MAIN_CF = """\
compatibility_level = 3.7
inet_interfaces = 127.0.0.1
myhostname = mx.portmail.test
mydestination =
local_recipient_maps =
maillog_file_prefixes = {root}
maillog_file = {root}/mail.log
queue_directory = {root}/queue
data_directory = {root}/data
virtual_mailbox_domains = example.org example.com beds.test localhost intranet host.local \
bücher.example xn--bcher-kva.example
virtual_mailbox_maps = regexp:{root}/etc/mailboxes
virtual_mailbox_base = {root}/mail
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
message_size_limit = 10485760
local_header_rewrite_clients =
allow_percent_hack = no
resolve_dequoted_address = no
smtputf8_enable = yes
disable_dns_lookups = yes
smtpd_peername_lookup = no
default_transport = error:5.4.4 nothing leaves this server
local_transport = error:5.1.1 nobody lives here
notify_classes =
smtpd_tls_chain_files = {root}/server.pem
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_sasl_auth_enable = yes
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_sender_restrictions = check_sender_access inline:{{{{{refused} = 550 5.7.1 not from you}}}}
smtpd_delay_reject = no
smtpd_error_sleep_time = 0
"""

_MASTER_CF = """\
127.0.0.1:{} inet n - n - - smtpd
127.0.0.1:{} inet n - n - - smtpd
    -o smtpd_tls_wrappermode=yes -o smtpd_tls_security_level=encrypt
127.0.0.1:{} inet n - n - - smtpd
    -o smtpd_sasl_auth_enable=no -o smtpd_relay_restrictions=reject_unauth_destination
anvil unix - - n - 1 anvil
bounce unix - - n - 0 bounce
cleanup unix n - n - 0 cleanup
defer unix - - n - 0 bounce
error unix - - n - - error
postlog unix-dgram n - n - 1 postlogd
qmgr unix n - n 300 1 qmgr
retry unix - - n - - error
rewrite unix - - n - - trivial-rewrite
tlsmgr unix - - n 1000? 1 tlsmgr
trace unix - - n - 0 bounce
virtual unix - n n - - virtual
"""

LACKING = (
    "pipelining",
    "chunking",
    "pipelining,chunking",
    "size",
    "8bitmime,smtputf8",
    "enhancedstatuscodes,dsn",
    "size,pipelining,chunking,8bitmime,smtputf8,enhancedstatuscodes,dsn,vrfy,etrn",
)
"""Extensions that a service does without, each set on a port of its own; the last is all of them."""

_LACKING_CF = """\
127.0.0.1:{} inet n - n - - smtpd
    -o smtpd_discard_ehlo_keywords={}
"""

# One more place: an address of its own, with a certificate of its own.
_PLACE_CF = """\
{address}:{submission} inet n - n - - smtpd
    -o smtpd_tls_chain_files={root}/{name}.pem
{address}:{submissions} inet n - n - - smtpd
    -o smtpd_tls_chain_files={root}/{name}.pem
    -o smtpd_tls_wrappermode=yes -o smtpd_tls_security_level=encrypt
"""

# Failed logins slow nothing down: no delay, and no listener for the penalties anvil would give.
_DOVECOT_CONF = """\
protocols =
ssl = no
base_dir = {root}/run
state_dir = {root}/run
log_path = {root}/dovecot.log
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 xoauth2
auth_failure_delay = 0
auth_username_chars =
auth_username_format = %u
passdb {{
  driver = passwd-file
  mechanisms = plain login cram-md5
  args = username_format=%u {root}/users
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {root}/oauth2.conf
}}
service auth {{
  unix_listener {root}/queue/private/auth {{
    user = postfix
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""

# Access tokens are JSON Web Tokens, which Dovecot checks by itself with the key in that directory.
_OAUTH2_CONF = """\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={root}/
username_attribute = sub
"""


@dataclass(frozen=True, slots=True)
class Postfix:
    """A running server: where it listens, and what it delivered.

    `lacking` are further ports like that of 587, which do not offer these extensions.
    """

    host: str
    ports: Mapping[int, int]
    lacking: Mapping[str, int]
    ca: Path
    root: Path

    def inbox(self, recipient: str) -> list[bytes]:
        """Messages delivered for that address so far, oldest first, with LF as line ending."""
        files = sorted(self.root.glob("mail/new/*"), key=lambda file: file.stat().st_mtime_ns)
        messages = [file.read_bytes() for file in files]
        return [raw for raw in messages if _delivered_to(raw) == _mailbox(recipient)]

    def wait_for(self, recipient: str, *, count: int = 1, seconds: float = 20) -> list[bytes]:
        """Poll until that many messages are there."""
        deadline = time.monotonic() + seconds
        while len(messages := self.inbox(recipient)) < count:
            if time.monotonic() > deadline:
                found = f"{len(messages)} of {count} messages for {recipient}"
                raise AssertionError(f"{found}\n{self.log()[-4000:]}")
            time.sleep(0.02)
        return messages

    def token(self, user: str, *, seconds: int = 3600) -> str:
        """Issue an XOAUTH2 access token; one that lasts for less than nothing is refused."""
        claims = {"sub": user, "exp": int(time.time()) + seconds}
        parts = (json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
        key = base64.b64decode((self.root / "default/HS256/default").read_bytes())
        mac = base64.urlsafe_b64encode(hmac.digest(key, signed, "sha256")).rstrip(b"=")
        return b".".join((signed, mac)).decode()

    def log(self) -> str:
        """Return all that Dovecot and Postfix said so far, Postfix last."""
        return logs(self.root)


def unavailable() -> str | None:
    """Say why it cannot run here."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return "only root can start a real Postfix"
    if missing := [name for name in ("postconf", "dovecot") if shutil.which(name) is None]:
        return f"a real Postfix with SASL needs {' and '.join(missing)}"
    version = subprocess.check_output(("dovecot", "--version"), text=True).strip()
    # 2.4 has another configuration language.
    return None if version.startswith("2.3.") else f"Dovecot 2.3 is needed, not {version}"


@contextmanager
def running(
    root: Path,
    *,
    users: Mapping[str, str],
    settings: Mapping[str, str] = {},
    places: Mapping[str, str] = {},
    ports: Mapping[int, int] = {},
    services: str = "",
    authority: trustme.CA | None = None,
) -> Iterator[Postfix]:
    """Run the server in a directory of its own: see `home`.

    `users` maps names to passwords; Dovecot accepts none that has SOH, TAB, CR or LF in it.
    `settings` are lines of main.cf that replace the ones above. `ports` are the ports that must be these,
    in place of free ones. `places` are further addresses where 587 and 465 are, each with the name in
    its certificate. `services` are further lines of master.cf. `authority` signs, in place of a new one.
    """
    with home(root) as path:
        free = free_ports(3 + len(LACKING))
        ports = dict(zip((587, 465, 25), free[:3], strict=True)) | dict(ports)
        lacking: dict[str, int] = dict(zip(LACKING, free[3:], strict=True))
        certify(path, names=set(places.values()), authority=authority)
        _write_dovecot(path, users=users)
        _write_postfix(
            path, ports=ports, lacking=lacking, settings=settings, places=places, services=services
        )
        query = ("postconf", "-c", str(path / "etc"), "-h", "daemon_directory")
        master = subprocess.check_output(query, text=True).strip() + "/master"
        tls = {465: ssl.create_default_context(cafile=path / "ca.pem")}
        dovecot = ("dovecot", "-F", "-c", str(path / "dovecot.conf"))
        postfix = (master, "-c", str(path / "etc"), "-d")
        log, listens = path / "start.log", (path / "queue/private/auth").is_socket

        def greet() -> bool:
            return all(greets(port, context=tls.get(name)) for name, port in ports.items())

        with daemon(*dovecot, log=log, ready=listens), daemon(*postfix, log=log, ready=greet):
            yield Postfix(LOOPBACK, ports, lacking, path / "ca.pem", path)


def _write_dovecot(path: Path, *, users: Mapping[str, str]) -> None:
    (path / "run").mkdir()
    (path / "dovecot.conf").write_text(_DOVECOT_CONF.format(root=path))
    (path / "oauth2.conf").write_text(_OAUTH2_CONF.format(root=path))
    # In hexadecimal no octet of a password can mean anything to that file.
    words = {name: word.encode("utf-8", "surrogateescape").hex() for name, word in users.items()}
    lines = [f"{name}:{{PLAIN.HEX}}{word}\n" for name, word in words.items()]
    (path / "users").write_text("".join(lines), encoding="utf-8")
    (path / "default/HS256").mkdir(parents=True)
    (path / "default/HS256/default").write_bytes(base64.b64encode(os.urandom(32)))


def _write_postfix(
    path: Path,
    *,
    ports: Mapping[int, int],
    lacking: Mapping[str, int],
    settings: Mapping[str, str],
    places: Mapping[str, str],
    services: str,
) -> None:
    for name in ("etc", "queue", "queue/pid"):
        (path / name).mkdir()
    for name in ("data", *(f"queue/{queue}" for queue in _QUEUES.split())):
        (path / name).mkdir(mode=0o700)
        shutil.chown(path / name, "postfix")
    (path / "mail").mkdir()
    shutil.chown(path / "mail", "nobody")
    uid = (path / "mail").stat().st_uid
    text = _MAIN_CF.format(root=path, uid=uid, refused=REFUSED_SENDER)
    lines = dict(line.split(" =", 1) for line in text.splitlines()) | dict(settings)
    text = "".join(f"{name} = {value}\n" for name, value in lines.items())
    (path / "etc/main.cf").write_text(text, encoding="utf-8")
    # Postfix waits for seconds when that file has just been written.
    os.utime(path / "etc/main.cf", (0, 0))
    without = [_LACKING_CF.format(port, keywords) for keywords, port in lacking.items()]
    where = {"root": path, "submission": ports[587], "submissions": ports[465]}
    also = [_PLACE_CF.format(address=address, name=name, **where) for address, name in places.items()]
    (path / "etc/master.cf").write_text(
        _MASTER_CF.format(*ports.values()) + "".join((*without, *also, services))
    )
    # virtual(8) lets no pattern choose the mailbox, so all share one: see Postfix.inbox().
    (path / "etc/mailboxes").write_text(f"!/^{re.escape(NOBODY_THERE)}$/ ./\n")


def _delivered_to(raw: bytes) -> tuple[str, str]:
    found = re.search(rb"^Delivered-To: (.*)$", raw, re.MULTILINE)
    return _mailbox(found[1].decode("utf-8", "surrogateescape") if found else "")


def _mailbox(address: str) -> tuple[str, str]:
    """Make equal what is the same mailbox: in any case, with the domain in either spelling."""
    local, _, domain = address.rpartition("@")
    return local.casefold(), domain.encode("idna").decode().casefold()
