"""Which addresses must be refused, and which must travel? As data: written for this proof, one per line.

Control characters and the like stand in Python's notation. A hostile address may mean something in a
header (a display name, a comment, a list): then it may be sent there, to exactly those whom it means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_LONG = ".".join(("b" * 63, "c" * 63, "d" * 57))
"""185 octets: with 64 in front and the @ between, a path of 250."""


class Hostile(NamedTuple):
    """An address that must not travel as it is."""

    text: str
    meant: tuple[str, ...] = ()
    """Whom a header of this text means beyond doubt (RFC 5322 section 3.4); empty: nobody."""


class Valid(NamedTuple):
    """An address that must travel."""

    text: str
    path: str
    """Octet for octet what stands between < and >, as portmail has it: with A-labels where that is enough."""


def _lines(text: str) -> list[str]:
    return [line for line in text.strip().splitlines() if line]


_CHARACTERS = {
    "CR": "\r",
    "LF": "\n",
    "CRLF": "\r\n",
    "NUL": "\0",
    "TAB": "\t",
    "VT": "\x0b",
    "FF": "\x0c",
    "ESC": "\x1b",
    "FS": "\x1c",
    "BS": "\x08",
    "DEL": "\x7f",
    "NEL": "\x85",
    "C1": "\x9b",
    "no-break space": "\xa0",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "ideographic space": "\u3000",
    "zero width space": "\u200b",
    "byte order mark": "\ufeff",
    "right to left override": "\u202e",
    "left to right isolate": "\u2066",
    "surrogate, octet": "\udcff",
    "surrogate, half": "\ud800",
    "noncharacter": "\uffff",
    "space": " ",
}
_PLACES = _lines("""
{}me@example.org
m{}e@example.org
me{}@example.org
me@{}example.org
me@exam{}ple.org
me@example.org{}
"m{}e"@example
""")
_HARMLESS = {(" ", '"m{}e"@example')}

_WRITTEN = r"""
me@example.org>\r\nRCPT TO:<evil@example.com
me@example.org\r\nRCPT TO:<evil@example.com>
me@example.org>\nRCPT TO:<evil@example.com
me@example.org\rRCPT TO:<evil@example.com>
me@example.org>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT
me@example.org\r\n.\r\n
me\r\nDATA\r\n@example.org
"me\r\nDATA\r\n"@example.org
"me\\\r\nDATA"@example.org
"me\\\nDATA"@example.org
"me\\\0"@example.org
"me>\r\nRCPT TO:<evil"@example.org
me@[127.0.0.1\r\nDATA]
me@[IPv6:::1>\r\nDATA\r\n]
me@example.org\r\n
me@example.org\n
\r\nme@example.org
\nme@example.org
me@example.org\r\n\tevil@example.com
me@\r\n example.org
me@example.org\n\n
me@example.org%0d%0aDATA
me@example.org%0ARCPT
me@example.org\\r\\nDATA
me@example.org> AUTH=<evil@example.com>
me@example.org> AUTH=<evil@example.com
me@example.org> AUTH=<
me@example.org> AUTH=<>
me@example.org> SIZE=1
me@example.org> SIZE=1 BODY=8BITMIME
me@example.org> BODY=BINARYMIME
me@example.org> SMTPUTF8
me@example.org> NOTIFY=NEVER
me@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;evil@example.com
me@example.org> RET=FULL ENVID=1
me@example.org>AUTH=<x
me@example.org>x
me@example.org> x
me@example.org>
me@example.org>>
<me@example.org
<<me@example.org>>
<me@example.org>>
><me@example.org
me<@example.org
me>@example.org
me@<example.org
me@example>.org
me@example.org<evil@example.com>
me@example.org <evil@example.com>
me@example.org<>
me@example.org,evil@example.com>
me@example.org> <evil@example.com
"me@example.org> AUTH=<x"
"me"@example.org> AUTH=<x
"me@example.org> x"@example.org> x
me AUTH=<x>@example.org
me@localhost> AUTH=<evil@example.com
root@intranet> SIZE=9
me@[127.0.0.1]> AUTH=<x
me@example.org(x)evil.com
me(x)@example.org)
me@(example.com)example.org)
me@example.org)evil.com
me@example.org(evil.com
me(evil@example.com
(me@example.org
me@example.org((x)
me@exam(x)ple.org
m(x)e@example.org
me@example.(x)org.evil.com)
"me
"me@example.org
me"@example.org
m"e@example.org
"me"you@example.org
me"you"@example.org
"me""you"@example.org
"me".you"@example.org
"me"@"example.org"
me@"example.org"
"me\\"@example.org
""@example.org
"evil@example.com you"@example.org "
"evil@example.com>"evil@example.org
=?utf-8?q?evil=40example=2Ecom?=@example.org
=?utf-8?q?evil=40example.com=3E?=@example.org
=?utf-8?q?evil=40example.com=00?=@example.org
=?utf-8?q?evil=40example.com=0D=0A?=@example.org
=?utf-8?b?ZXZpbEBleGFtcGxlLmNvbQ==?=@example.org
=?x?q?=41=42=43?=evil@example.com
=?iso-8859-1?q?=61=62=63=40example.com?=
=?utf-8?q?evil=40example.com=3C?= =?utf-8?q?x?=@example.org
=?utf-8?q?evil=40example.com?=
evil@=?utf-8?q?example.com?=
evil@=?utf-8?q?example.com=2C?=@example.org
evil@=?utf-7?q?+AD4-example?=.org
=?utf-7?q?evil+AEA-example.com+AD4-?=@example.org
me@xn--=?utf-8?q?x?=.org
@relay.example.com:me@example.org
@relay.example.com,@other.example.com:me@example.org
@:me@example.org
@relay.example.com
me@example.org@evil.com
me@example.org@
@me@example.org
me@@example.org
me@you@example.org
me@you@localhost
@@@@@@@@@@
me@example.org%evil@
me@example.org:25
me:secret@example.org
smtp://me:secret@example.org
mailto:me@example.org
mailto:me@example.org?bcc=evil@example.com
me@example.org?bcc=evil@example.com
me@example.org&bcc=evil@example.com
me@example.org/evil
me@example.org\\evil
me\\@example.org
me\\@evil.com@example.org
me,evil@example.com
me;evil@example.com
me@example.org,evil
me@example.org;
me@example.org; evil@example.com
me@example.org evil@example.com
me evil@example.com
me @ example . org
me.example.org
me
@
@example.org
me@
me@.
me@.example.org
me@example.org.
me@example.org..
me@example..org
me@..
.me@example.org
me.@example.org
m..e@example.org
.@example.org
..@example.org
me@-example.org
me@example-.org
me@-.org
me@ex_ample.org
me@exam!ple.org
me@exam%ple.org
me@exam*ple.org
me@exam$ple.org
me@exam'ple.org
me@exam=ple.org
me@exam~ple.org
me@#1.org
me@*.org
me@123
me@127.0.0.1
me@[127.0.0.1
me@127.0.0.1]
me@[999.0.0.1]
me@[127.0.0]
me@[127.0.0.1.1]
me@[]
me@[ ]
me@[::1]
me@[IPv6:]
me@[IPv6:::1::2]
me@[IPv6:12345::1]
me@[IPv6:::1%eth0]
me@[IPv7:::1]
me@[example.org]
me@[127.0.0.1]evil.com
me@[127.0.0.1].org
me@[x]>
me@[127.0.0.1] x
me@[[127.0.0.1]]
me@xn--
me@xn--a
me@xn--zzzzzz.org
me@xn--mnchen-3ya\u00fc.org
me@ab--cd\u00fc.org
me@example\u3002org
me@example\uff0eorg
me@example\uff61org
me@example.org\u3002
me@example\u2024org
me@evil.com\uff0fexample.org
me@evil.com\u2044.example.org
me@evil.com\uff03.example.org
me\uff20evil.com
me\uff20evil.com@
me@evil.com\uff20example.org
me\ufe6bevil.com
me@\uff45xample.org
me@e\u212aample.org
me@e\u017fample.org
me@\u2460.org
me@\u2102.org
me@\U0001d41ecample.org
me@exam\u00adple.org
me@exam\u200dple.org
me@exam\u200cple.org
me@exam\u2060ple.org
me@exam\u034fple.org
me@example\u2025org
me@\u33c2.org
me@\u2488com
me@example\uff0corg
me@example.org\uff1e AUTH=\uff1cx
\u212aevin@example.org
mi\u212ae@example.org
me\u037eyou@example.org
m\u1fefe@example.org
\u0301me@example.org
me@\u0301example.org
me\u200b@example.org
me\u202egro.elpmaxe@example.com
me@example.org\u202e
\u202dme@example.org
me\u2067@example.org
me\ufdd0@example.org
me\ue000@example.org
me\U000e0001@example.org
me@\u05d0a.org
me@\u0661a.org
me@\u2615\u0000.org
me\ud83d@example.org
me\ude00@example.org
\udc0d\udc0aDATA@example.org
x:me@example.org
group:me@example.org
group: me@example.org
:me@example.org;
a:b:c:me@example.org;;;
a:b: me@example.org;
group: me@example.org; evil@example.com
group: ;me@example.org
group:;@example.org
<>
< >
< me@example.org
<me@example.org> evil
Me <me@example.org> <evil@example.com>
Me <me@example.org>, evil
Me, You <me@example.org>
Me <you
Me Me
Me: <me@example.org>
Me. <evil
"Me <me@example.org>
me@example.org'
[me@example.org]
{me}@{example}.org
|/bin/sh@example.org>
|/bin/sh -c id@example.org
-oQ/tmp/ -X/tmp/x me@example.org
"-oQ/tmp -X/tmp/x"@example.org -x
me@example.org -oQ/tmp
$(id)@example.org
`id` @example.org
${{x}}@example.org>
me@${jndi:ldap://example.com}
me@example.org\t
MAIL FROM:<me@example.org>
RCPT TO:<me@example.org>
FROM:<me@example.org>
TO:me@example.org
"""

_MEANT = [
    Hostile("<me@example.org>", ("me@example.org",)),
    Hostile("<@relay.example.com:me@example.org>", ("me@example.org",)),  # section 4.4: the route is ignored
    Hostile(" me@example.org", ("me@example.org",)),
    Hostile("me@example.org ", ("me@example.org",)),
    Hostile("\tme@example.org", ("me@example.org",)),
    Hostile("me@example.org\t", ("me@example.org",)),
    Hostile("Me <me@example.org>", ("me@example.org",)),
    Hostile('"evil@example.com" <me@example.org>', ("me@example.org",)),
    Hostile('"evil@example.com> x" <me@example.org>', ("me@example.org",)),
    Hostile('"Me, evil@example.com" <me@example.org>', ("me@example.org",)),
    Hostile("=?utf-8?q?evil=40example=2Ecom?= <me@example.org>", ("me@example.org",)),
    Hostile("me@example.org (evil@example.com)", ("me@example.org",)),
    Hostile("(evil@example.com) me@example.org", ("me@example.org",)),
    Hostile("me@example.org (a (nested) comment)", ("me@example.org",)),
    Hostile("me@example.org (\\) evil@example.com)", ("me@example.org",)),
    Hostile("me(you)@example.org", ("me@example.org",)),
    Hostile("me @example.org", ("me@example.org",)),
    Hostile("me@ example.org", ("me@example.org",)),
    Hostile("me\t@example.org", ("me@example.org",)),
    Hostile("me@\texample.org", ("me@example.org",)),
    Hostile("me @ example . org", ("me@example.org",)),
    Hostile("me@(you)example.org", ("me@example.org",)),
    Hostile("me@example.org, evil@example.com", ("me@example.org", "evil@example.com")),
    Hostile("me@example.org,evil@example.com", ("me@example.org", "evil@example.com")),
    Hostile("me@example.org,", ("me@example.org",)),
    Hostile(",me@example.org", ("me@example.org",)),
    Hostile("team: me@example.org, you@example.com;", ("me@example.org", "you@example.com")),
    Hostile("team:me@example.org;", ("me@example.org",)),
    Hostile(
        "a: me@example.org;, b: you@example.com;, c@example.net",
        ("me@example.org", "you@example.com", "c@example.net"),
    ),
    Hostile('"a:b" <me@example.org>', ("me@example.org",)),
    Hostile('"a\\"b" <me@example.org>', ("me@example.org",)),
]

_BIG = [
    "a" * 65 + "@example.org",
    '"' + "a b" * 30 + '"@example.org',
    "a@" + "b" * 64 + ".org",
    "a@" + "b" * 64,
    "a@" + ".".join(["b" * 63] * 4),
    "a" * 64 + "@" + _LONG + ".eeee",
    "a@" + "b." * 127 + "org",
    "a@" + "b." * 200 + "org",
    "\xe9" * 33 + "@example.org",
    "a@" + "\xfc" * 60 + ".org",
    "a" * 900 + "@example.org",
    "a" * 2_500,
    "a@" * 400 + "example.org",
    "@" * 1_000,
    "a@example.org" * 60,
    "a." * 400 + "a@example.org",
    "a@" + "b." * 400 + "org",
    "a@[" + "1" * 3_000 + "]",
    '"' * 401 + "@example.org",
    '"' + "\\" * 3_000 + "@example.org",
    "(" * 3_000 + "me@example.org",
    "(" * 3_000 + ")" * 3_000 + "@example.org",
    "<" * 1_000 + "me@example.org" + ">" * 1_000,
    "g:" * 1_500 + "me@example.org" + ";" * 1_500,
    "g:" * 300 + "me@example.org" + ";" * 300,
    "=?utf-8?q?" * 100 + "@example.org",
    "\u0301" * 500 + "@example.org",
    "me@" + "xn--" * 500 + ".org",
    " " * 3_000 + "@example.org",
    "a\r\n " * 500 + "@example.org",
    "[" * 1_000 + "@example.org",
]
"""Too long, too deep, too many."""


def _unescaped(line: str) -> str:
    return line.encode("latin-1", "backslashreplace").decode("unicode_escape") if "\\" in line else line


def _placed() -> Iterator[str]:
    for character in _CHARACTERS.values():
        for place in _PLACES:
            if (character, place) not in _HARMLESS:
                yield place.format(character)


def _hostile() -> Iterator[Hostile]:
    meant = {hostile.text for hostile in _MEANT}
    texts = dict.fromkeys([*_placed(), *map(_unescaped, _lines(_WRITTEN)), *_BIG])
    yield from (Hostile(text) for text in texts if text not in meant)
    yield from _MEANT


HOSTILE: list[Hostile] = list(_hostile())

_AS_WRITTEN = """
me@example.org
m@example.org
me@x.org
anna.meier@example.org
Anna.Meier@example.org
anna+tag@example.org
anna-meier@example.org
anna_meier@example.org
a.b.c.d.e@example.org
1234567890@example.org
-rf@example.org
--@example.org
_@example.org
+@example.org
o'hara@example.org
'me@example.org
me@0x7f000001
bounce+7=me=example.com@example.org
prvs=0123abcdef=me@example.org
SRS0=abc=de=example.com=me@example.org
VERP-1-me=example.com@example.org
#!$%&'*+-/=?^_`{}|~@example.org
%7Eme@example.org
me%example.com@example.org
example.com!me@example.org
me/you@example.org
{me}@example.org
|me@example.org
=me@example.org
me=@example.org
=?me?=@example.org
me?@example.org
$me@example.org
&me@example.org
*@example.org
~me@example.org
^me@example.org
`me`@example.org
postmaster@example.org
abuse@example.org
root@localhost
me@intranet
me@host.local
me@printer.lan
me@mail.corp
me@beds.test
me@a.invalid
me@a.onion
me@host.arpa
me@1.org
me@1and1.example.org
me@3com.example
me@123.example
me@a-b.example.org
me@a--b.example.org
me@mail.a.b.c.d.e.f.example.org
me@x.y
me@example.museum
me@example.international
me@example.co.uk
me@example-1.test
"a b"@example.org
"a@b"@example.org
"a>b"@example.org
"a<b"@example.org
"a,b"@example.org
"a;b"@example.org
"a:b"@example.org
"a(b"@example.org
"a)b"@example.org
"a[b]"@example.org
"a\\"b"@example.org
"a\\\\b"@example.org
"a..b"@example.org
".a"@example.org
"a."@example.org
"a> AUTH=<x"@example.org
" "@example.org
"a b"@localhost
"()<>[]:,;@"@example.org
me@[127.0.0.1]
me@[192.168.0.255]
me@[IPv6:::1]
me@[IPv6:2001:db8::1]
"a b"@[127.0.0.1]
j\xf6rg@example.org
j\xf6rg@m\xfcnchen.example
j\xf6rg@localhost
\u7528\u6237@\u4f8b\u5b50.example
\u03c7\u03c1\u03ae\u03c3\u03c4\u03b7\u03c2@example.org
\u0438\u043c\u044f@\u043f\u0440\u0438\u043c\u0435\u0440.example
\u0909\u092a\u092f\u094b\u0917@example.org
na\xefve.caf\xe9+tag@example.org
\xdf@example.org
m\u0435@example.org
\U0001f600@example.org
"j\xf6rg b"@example.org
"""

_NORMALIZED = [
    Valid("me@EXAMPLE.ORG", "me@example.org"),
    Valid("Me@Example.Org", "Me@example.org"),
    Valid("me@HOST.LOCAL", "me@host.local"),
    Valid("POSTMASTER@example.org", "postmaster@example.org"),
    Valid('"ab"@example.org', "ab@example.org"),
    Valid('"a.b"@example.org', "a.b@example.org"),
    Valid('"' + "a" * 63 + '"@example.org', "a" * 63 + "@example.org"),
    Valid("me@m\xfcnchen.example", "me@xn--mnchen-3ya.example"),
    Valid("me@M\xdcNCHEN.example", "me@xn--mnchen-3ya.example"),
    Valid("me@mu\u0308nchen.example", "me@xn--mnchen-3ya.example"),
    Valid("me@xn--mnchen-3ya.example", "me@xn--mnchen-3ya.example"),
    Valid("me@stra\xdfe.example", "me@xn--strae-oqa.example"),
    Valid("me@ex\u0430mple.org", "me@xn--exmple-4nf.org"),
    Valid("me@\u043f\u0440\u0438\u043c\u0435\u0440.example", "me@xn--e1afmkfd.example"),
    Valid("me@\u4f8b\u5b50.example", "me@xn--fsqu00a.example"),
    Valid("me@m\xfcnchen.local", "me@xn--mnchen-3ya.local"),
    Valid("jo\u0308rg@example.org", "j\xf6rg@example.org"),
    Valid('"' + "a b" * 20 + '"@example.org', '"' + "a b" * 20 + '"@example.org'),
    Valid('"' + "a@b" * 20 + '"@' + _LONG, '"' + "a@b" * 20 + '"@' + _LONG),
    Valid("a" * 64 + "@example.org", "a" * 64 + "@example.org"),
    Valid("a@" + "b" * 63 + ".org", "a@" + "b" * 63 + ".org"),
    Valid("a" * 64 + "@" + _LONG, "a" * 64 + "@" + _LONG),
    Valid("a.b" * 21 + "@" + _LONG, "a.b" * 21 + "@" + _LONG),
]

VALID: list[Valid] = [*(Valid(line, line) for line in _lines(_AS_WRITTEN)), *_NORMALIZED]
