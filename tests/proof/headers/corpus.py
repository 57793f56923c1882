"""What is put into header fields to make something else of them? As data: payloads, in Python's notation."""

from __future__ import annotations


def _unescaped(line: str) -> str:
    return line.encode("latin-1", "backslashreplace").decode("unicode_escape")


_WRITTEN = r"""
plain text
x\r\nBcc: evil@example.com
x\nBcc: evil@example.com
x\rBcc: evil@example.com
x\r\n\r\n<script>
x\n\nbody
x\r\rbody
x\r\n Bcc: evil@example.com
x\n\tBcc: evil@example.com
x\r\n\tfolded
x\r\n
x\n
x\r
\r\nBcc: evil@example.com
\nBcc: evil@example.com
\r\n\r\n
\n
x\n\rBcc: evil@example.com
x\r\r\nBcc: evil@example.com
x\r\n.\r\nMAIL FROM:<evil@example.com>\r\n
x\r\n.\r\n
x\0
x\0Bcc: evil@example.com
x\0\r\nBcc: evil@example.com
x\x0bBcc: evil@example.com
x\x0cBcc: evil@example.com
x\x1cBcc: evil@example.com
x\x1dBcc: evil@example.com
x\x1eBcc: evil@example.com
x\x85Bcc: evil@example.com
x\u2028Bcc: evil@example.com
x\u2029Bcc: evil@example.com
x\u2028
x\x85
x\x7f\x08\x1b[2J
x\u560d\u560aBcc: evil@example.com
x\u010d\u010aBcc: evil@example.com
=?utf-8?q?=0ABcc:_evil=40example.com?=
=?utf-8?q?=0D=0ABcc:_evil=40example.com?=
=?utf-8?q?x=0D=0A=0D=0Abody?=
=?UTF-8?Q?=0A?=Bcc: evil@example.com
=?UTF-8?Q?=0D?=Bcc: evil@example.com
x =?UTF-8?Q?=0A?= Bcc: evil@example.com
=?UTF-8?B?CkJjYzogZXZpbEBleGFtcGxlLmNvbQ==?=
=?UTF-8?B?DQpCY2M6IGV2aWxAZXhhbXBsZS5jb20=?=
=?utf-7?q?+AAo-Bcc:_evil=40example.com?=
=?utf-16?b?AAoAQgBjAGM=?=
=?utf-8?q?=00?=
=?utf-8?q?=E2=80=A8Bcc:_evil=40example.com?=
=?utf-8?q?=C2=85Bcc:_evil=40example.com?=
=?utf-8?q?=0B=0C=1C?=
=?unknown-8bit?q?=0ABcc:?=
=?nosuch?q?=0ABcc:?=
=?utf-8?q?x?=\r\n =?utf-8?q?=0ABcc:?=
=?utf-8?q?=?=
=?utf-8?b?!?=
=?utf-8?q?=0A
"x\r\nBcc: evil@example.com"
"x\\\r\nBcc: evil@example.com"
x"; filename="evil.exe
x"; name="evil"; charset="evil
x"\r\nContent-Type: text/html\r\n\r\n<script>
x; boundary=evil
x\\
x\\"
x"
"
;
a=b; c=d
utf-8''x%0D%0ABcc%3A%20evil
utf-8''x%0ABcc
x%0d%0aBcc: evil@example.com
x%00
../../etc/passwd
..\\..\\evil
x\ud800
x\udcff\udc0a
x\udc0d\udc0aBcc: evil@example.com
Gr\xfc\xdfe
\u65e5\u672c\u8a9e
\U0001f600
\u202egpj.exe
x\u200b\ufeff
<x>
x, y <evil@example.com>
x: evil@example.com;
(x
x)
x <evil@example.com> y
x@example.com> SIZE=1
--boundary
--boundary--
.
..
Bcc: evil@example.com
: x
\t
\x20
"""

PAYLOADS = [
    *map(_unescaped, _WRITTEN.strip("\n").split("\n")),
    "",
    "x" * 997,
    "x" * 1_100,
    "x " * 150,
    "\xfc" * 120,
    "x" * 70 + "\r\nBcc: evil@example.com",
    "x " * 40 + "=?utf-8?q?=0ABcc:?=",
    "\xfc " * 40 + "\nBcc: evil@example.com",
    "x" * 75 + " " + "y" * 75 + "\x85Bcc: evil@example.com",
]

NAMES = [
    *map(
        _unescaped,
        r"""
X
X-Any_thing!
X\r\nBcc: evil@example.com\r\nY
X\nBcc: evil@example.com\nY
X\rBcc
X: y\r\nBcc
X:
X: Y
X Y
X\tY
X\0
X\x85Y
X\u2028Y
\xdcber
X\xa0
=?utf-8?q?X?=
=?utf-8?q?=0ABcc?=
\r\n
\n
\r\n\r\nX
\x20
\x20X
X\x20
\tX
X\n\tY
X\x7f
X\x0b
X\ud800
:
""".strip("\n").split("\n"),
    ),
    "",
    "X" * 70,
    "X" * 997,
    "X" * 1_200,
]
