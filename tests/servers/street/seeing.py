"""What does somebody at home see, who has nothing but sockets? A line on standard input is a wish, in JSON.

The answer to it is a list of what was seen, in order: lines, and words such as those of errno(7).
"""

import base64
import errno
import json
import socket
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence

SILENCE, END, OPEN, TLS, NO_TLS = "SILENCE", "END", "OPEN", "TLS", "NO TLS"
# What OpenSSL says of it differs with its version.
_NO_TLS: Mapping[str, str] = dict.fromkeys(
    ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"), NO_TLS
)
_IMPLICIT = 465


def dial(seen: list[str], *, address: str, port: int, seconds: float) -> None:
    """Connect, and no more."""
    with socket.create_connection((address, port), seconds):
        seen.append(OPEN)


def resolve(seen: list[str], *, name: str) -> None:
    """Ask for the addresses of a name."""
    seen += [str(found[4][0]) for found in socket.getaddrinfo(name, 25, type=socket.SOCK_STREAM)]


def talk(
    seen: list[str], *, host: str, port: int, seconds: float, ca: str | None, after: Sequence[str] = ()
) -> None:
    """Read the greeting, go into TLS if it can be, and say these lines.

    Without `ca` any certificate will do; it is told in Base64, behind TLS.
    """
    context = ssl.create_default_context(cafile=ca)
    if ca is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    line: socket.socket = socket.create_connection((host, port), seconds)
    if port == _IMPLICIT:
        line = _secured(line, context, host=host, seen=seen)
    if _replied(line, seen)[0].startswith("220"):
        line = _introduced(line, context, host=host, seen=seen)
    for text in after:
        _said(line, text, seen)
    line.close()


def word(exc: BaseException) -> str:
    """Return what an exception is about."""
    match exc:
        case TimeoutError():
            return SILENCE
        case EOFError() | ssl.SSLEOFError():
            return END
        case ssl.SSLCertVerificationError():
            return f"CERTIFICATE {exc.verify_code}"
        case ssl.SSLError():
            return _NO_TLS.get(exc.reason or "", exc.reason or "")
        case socket.gaierror():
            names = {value: name for name, value in vars(socket).items() if name.startswith("EAI_")}
            return names[exc.args[0]]
        case OSError():
            return errno.errorcode[exc.errno or 0]
    raise exc


def main() -> None:
    """Answer until standard input ends."""
    acts: Mapping[str, Callable[..., None]] = {"dial": dial, "resolve": resolve, "talk": talk}
    for wish in sys.stdin:
        seen: list[str] = []
        wanted = json.loads(wish)
        try:
            acts[wanted.pop("act")](seen, **wanted)
        except (OSError, EOFError) as exc:
            seen.append(word(exc))
        print(json.dumps(seen), flush=True)


def _introduced(line: socket.socket, context: ssl.SSLContext, *, host: str, seen: list[str]) -> socket.socket:
    """Say who it is, and go into TLS if that is offered."""
    if any(it[4:] == "STARTTLS" for it in _said(line, "EHLO home", seen)):
        _said(line, "STARTTLS", seen)
        line = _secured(line, context, host=host, seen=seen)
        _said(line, "EHLO home", seen)
    return line


def _secured(line: socket.socket, context: ssl.SSLContext, *, host: str, seen: list[str]) -> ssl.SSLSocket:
    secured = context.wrap_socket(line, server_hostname=host)
    told = base64.b64encode(secured.getpeercert(True) or b"").decode()
    seen.append(TLS if context.check_hostname else f"{TLS} {told}")
    return secured


def _said(line: socket.socket, text: str, seen: list[str]) -> list[str]:
    line.sendall(f"{text}\r\n".encode())
    return _replied(line, seen)


def _replied(line: socket.socket, seen: list[str]) -> list[str]:
    """Read a whole reply, or one line of something else."""
    lines: list[str] = []
    while not lines or lines[-1][3:4] == "-":
        raw = b""
        while not raw.endswith(b"\n"):
            if not (octet := line.recv(1)):
                raise EOFError
            raw += octet
        lines.append(raw.decode("latin-1").rstrip())
        seen.append(lines[-1])
    return lines


if __name__ == "__main__":
    main()
