"""Who is it from and for? Addresses that may travel, as they travel, and those that may not."""

from __future__ import annotations

import string
import subprocess
import sys
from collections.abc import Callable

import email_validator
import pytest
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES
from hypothesis import given
from hypothesis import strategies as st

from portmail.envelope import (
    Envelope,
    Mailbox,
    _examined,
    _mailbox,
    ascii_domain,
    local_mailbox,
    mailbox,
)
from portmail.errors import AddressError, NoRecipients


@pytest.mark.parametrize(
    "address",
    [
        "me@example.org",
        "root@localhost",
        "ops@intranet",
        "a@host.local",
        "x@beds.test",
        "a@sub.invalid",
        "a@invalid",
        "a@example",
        "a@4.test",
        "printer@floor-2.corp",
        "-rf@example.org",
        "a+b@example.org",
        "a%b!c@example.org",
        "!#$%&'*+-/=?^_`{|}~@example.org",
        '"a b"@example.org',
        '"a@b"@example.org',
        '"a b"@localhost',
        '"a>b"@example.org',
        '"a\\"b"@example.org',
        "a@[127.0.0.1]",
        "a@[IPv6:::1]",
        "jörg@example.org",
        "jörg@münchen.example",
        "jörg@localhost",
    ],
)
def test_an_address_travels_as_it_was_written(address: str) -> None:
    assert mailbox(address).text == address
    # SMTPUTF8 addresses are sent as they are, and all others are ASCII already here.
    assert mailbox(address).path == address


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param(
            "me@münchen.example",
            Mailbox("me@münchen.example", "me@xn--mnchen-3ya.example"),
            id="IDN as A-labels",
        ),
        pytest.param(
            "me@münchen.local",
            Mailbox("me@münchen.local", "me@xn--mnchen-3ya.local"),
            id="IDN in a private network",
        ),
        pytest.param(
            "me@xn--mnchen-3ya.example",
            Mailbox("me@münchen.example", "me@xn--mnchen-3ya.example"),
            id="A-labels are shown as IDN",
        ),
        pytest.param(
            "me@straße.example", Mailbox("me@straße.example", "me@xn--strae-oqa.example"), id="IDNA 2008"
        ),
        pytest.param("Me@EXAMPLE.Org", Mailbox("Me@example.org", "Me@example.org"), id="lower case"),
        pytest.param("a@HOST.LOCAL", Mailbox("a@host.local", "a@host.local"), id="lower case, private"),
        pytest.param(
            "e\u0301@example.org", Mailbox("é@example.org", "é@example.org"), id="UTF-8 composed (NFC)"
        ),
        pytest.param('"ab"@example.org', Mailbox("ab@example.org", "ab@example.org"), id="needless quotes"),
    ],
)
def test_an_address_is_normalized_once_and_for_all(address: str, expected: Mailbox) -> None:
    assert mailbox(address) == expected
    assert mailbox(expected.path) == expected


@pytest.mark.parametrize(
    ("address", "needed"),
    [
        ("me@example.org", False),
        ("me@münchen.example", False),
        ("jörg@example.org", True),
        ("jörg@münchen.example", True),
    ],
)
def test_smtputf8_is_needed_for_the_local_part_only(address: str, needed: bool) -> None:
    assert mailbox(address).needs_smtputf8 is needed
    plain = "you@example.org"
    assert Envelope.of(sender=plain, recipients=[plain, address]).needs_smtputf8 is needed
    assert Envelope.of(sender=address, recipients=[plain]).needs_smtputf8 is needed


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("", id="empty"),
        pytest.param("me", id="no @"),
        pytest.param("@", id="@ alone"),
        pytest.param("@example.org", id="no local part"),
        pytest.param("me@", id="no domain"),
        pytest.param("me@@example.org", id="two @ in a row"),
        pytest.param("me@you@example.org", id="two @"),
        pytest.param("me@you@localhost", id="two @, private"),
        pytest.param("me@example.org.", id="trailing dot"),
        pytest.param("me@localhost.", id="trailing dot, private"),
        pytest.param("me@example..org", id="two dots"),
        pytest.param(".me@example.org", id="local part begins with a dot"),
        pytest.param("me.@example.org", id="local part ends with a dot"),
        pytest.param("me@-example.org", id="label begins with a hyphen"),
        pytest.param("me@ex_ample.org", id="underscore in the domain"),
        pytest.param("me@123", id="a number for a domain"),
        pytest.param("me you@example.org", id="space in the local part"),
        pytest.param("me@example .org", id="space in the domain"),
        pytest.param("me@intra net", id="space in a private domain"),
        pytest.param(" me@example.org", id="space in front"),
        pytest.param("me@example.org ", id="space behind"),
        pytest.param("me@localhost ", id="space behind, private"),
        pytest.param("me@example.org\r\n", id="CRLF behind"),
        pytest.param("me@localhost\r\n", id="CRLF behind, private"),
        pytest.param("me@example.org\n", id="LF behind"),
        pytest.param("me\r\nDATA@example.org", id="CRLF in the local part"),
        pytest.param('"me\r\nDATA"@example.org', id="CRLF in quotes"),
        pytest.param('"me\\\r\nDATA"@example.org', id="escaped CR in quotes"),
        pytest.param("me@example.org>\r\nDATA", id="CRLF behind >"),
        pytest.param("me@example.org> SIZE=1", id="> and a parameter"),
        pytest.param("me@localhost> SIZE=1", id="> and a parameter, private"),
        pytest.param("me@example.org\0", id="NUL"),
        pytest.param('"me\0"@example.org', id="NUL in quotes"),
        pytest.param("me@example.org\u200b", id="zero width space"),
        pytest.param("me@example.org\x85", id="C1 control"),
        pytest.param("me\udcff@example.org", id="octets that are no UTF-8"),
        pytest.param("<me@example.org>", id="angle brackets"),
        pytest.param("Me <me@example.org>", id="display name"),
        pytest.param("me(you)@example.org", id="comment"),
        pytest.param("me,you@example.org", id="comma"),
        pytest.param('""@example.org', id="empty quotes"),
        pytest.param("a" * 65 + "@example.org", id="local part too long"),
        pytest.param("me@" + "a" * 64 + ".org", id="label too long"),
        pytest.param("me@" + "a" * 64, id="label too long, private"),
        pytest.param("me@" + ".".join(["a" * 63] * 4), id="domain too long"),
        pytest.param("me@[999.0.0.1]", id="no IP address"),
        pytest.param("me@[127.0.0.1", id="bracket without end"),
        pytest.param("me@[]", id="empty brackets"),
        pytest.param("me@xn--zz.local", id="no A-label, private"),
        pytest.param(None, id="None"),
        pytest.param(b"me@example.org", id="octets"),
        pytest.param(["me@example.org"], id="a list"),
    ],
)
def test_what_cannot_travel_is_refused_and_named(address: str) -> None:
    with pytest.raises(AddressError) as caught:
        mailbox(address)
    assert repr(address) in str(caught.value)


def test_a_recipient_given_twice_gets_the_message_once() -> None:
    twice = [
        "b@example.org",
        "a@example.org",
        "b@EXAMPLE.org",
        "c@münchen.example",
        "c@xn--mnchen-3ya.example",
    ]
    envelope = Envelope.of(sender="me@example.org", recipients=twice)
    assert [box.path for box in envelope.recipients] == [
        "b@example.org",
        "a@example.org",
        "c@xn--mnchen-3ya.example",
    ]


def test_recipients_that_differ_in_case_before_the_at_are_two() -> None:
    envelope = Envelope.of(sender="me@example.org", recipients=["a@example.org", "A@example.org"])
    assert len(envelope.recipients) == 2


def test_the_null_reverse_path_is_no_address() -> None:
    assert Envelope.of(sender="", recipients=["a@example.org"]).sender is None


def test_one_recipient_may_be_given_as_a_string() -> None:
    envelope = Envelope.of(sender="", recipients="a@example.org")
    assert [box.path for box in envelope.recipients] == ["a@example.org"]


def test_one_wrong_recipient_stops_the_message() -> None:
    with pytest.raises(AddressError, match="b b@example"):
        Envelope.of(sender="", recipients=["a@example.org", "b b@example.org"])


@pytest.mark.parametrize("nobody", [[], (), iter(())], ids=["list", "tuple", "iterator"])
def test_a_message_for_nobody_is_refused(nobody: list[str]) -> None:
    with pytest.raises(NoRecipients, match="recipients="):
        Envelope.of(sender="me@example.org", recipients=nobody)


def test_the_domains_that_email_validator_refuses_stay_as_they_are_for_others() -> None:
    # The list is shared by the whole process: who else uses email-validator relies on it.
    for address in ("a@host.local", "x@beds.test", "root@localhost"):
        assert mailbox(address)
        with pytest.raises(email_validator.EmailNotValidError):
            email_validator.validate_email(address, check_deliverability=False)
    program = (
        "import email_validator\n"
        "before = list(email_validator.SPECIAL_USE_DOMAIN_NAMES)\n"
        "from portmail.envelope import mailbox\n"
        "mailbox('a@host.local'), mailbox('root@localhost')\n"
        "assert email_validator.SPECIAL_USE_DOMAIN_NAMES == before != []\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


ATEXT = string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~"
LDH = string.ascii_letters + string.digits + "-"
SPECIAL = email_validator.SPECIAL_USE_DOMAIN_NAMES


def told(read: Callable[[str], Mailbox], address: str) -> Mailbox | str:
    """The mailbox, or what is wrong with the address."""
    try:
        return read(address)
    except AddressError as exc:
        return str(exc)


def without_shortcut(address: str) -> Mailbox | str:
    return told(_examined, address)


def with_shortcut(address: str) -> Mailbox | str:
    return told(_mailbox.__wrapped__, address)


def dotted(alphabet: str, *, longest: int, parts: int) -> st.SearchStrategy[str]:
    return st.lists(st.text(alphabet, min_size=1, max_size=longest), min_size=1, max_size=parts).map(".".join)


@given(dotted(ATEXT, longest=20, parts=4), dotted(LDH, longest=70, parts=4))
def test_a_plain_address_is_what_email_validator_makes_of_it(local: str, domain: str) -> None:
    address = f"{local}@{domain}"
    assert with_shortcut(address) == without_shortcut(address)


@given(
    dotted(ATEXT, longest=20, parts=2), dotted(LDH, longest=9, parts=2), st.sampled_from([*SPECIAL, "corp"])
)
def test_a_plain_address_in_a_private_network_is_too(local: str, host: str, domain: str) -> None:
    for address in (f"{local}@{host}.{domain}", f"{local}@{domain}"):
        assert with_shortcut(address) == without_shortcut(address)


@given(st.text('aZ0@.-_ "<>\\[]:\t\r\n\0\x7f\xe9\u0661\u212a', max_size=12))
def test_the_shortcut_takes_nothing_that_email_validator_refuses(address: str) -> None:
    assert with_shortcut(address) == without_shortcut(address)


@pytest.mark.parametrize("write", [str.lower, str.upper, str.title], ids=["lower", "upper", "title"])
@pytest.mark.parametrize("name", CASE_INSENSITIVE_MAILBOX_NAMES)
def test_role_names_are_written_as_email_validator_writes_them(
    name: str, write: Callable[[str], str]
) -> None:
    assert with_shortcut(f"{write(name)}@example.org") == Mailbox(
        f"{name}@example.org", f"{name}@example.org"
    )


@pytest.mark.parametrize(
    "address",
    [
        "a" * 64 + "@example.org",
        "a" * 65 + "@example.org",
        "a@" + "b" * 63 + ".org",
        "a@" + "b" * 64 + ".org",
        *(f"a@{'b.' * count}org" for count in (77, 78, 79, 100, 110, 118, 119, 120, 122, 125, 126)),
        *("a" * 64 + f"@{'b.' * count}org" for count in (78, 79, 87, 88, 89, 93, 94, 95)),
        *("a" * 64 + f"@{'b.' * count}corp.test" for count in (75, 76, 77, 87, 88, 89)),
        "a@xn--mnchen-3ya.example",
        "a@XN--MNCHEN-3YA.example",
        "a@ab--c.example",
        "a@a--b.example",
        "a@abc--d.example",
        "a@1.2.3.4",
        "a@b1",
        "a@b1.c2",
        "a@1b",
        "a@host.arpa",
        "Anna.Meier@Example.ORG",
        "Anna@Example.ORG",
        "a\n@example.org",
        "a@example.org\n",
    ],
)
def test_at_the_limits_the_shortcut_changes_nothing(address: str) -> None:
    assert with_shortcut(address) == without_shortcut(address)


def test_plain_addresses_do_not_load_email_validator() -> None:
    program = (
        "import sys\n"
        "from portmail.envelope import mailbox\n"
        "for address in ('me@example.org', 'Anna.Meier@mail.Example.org', 'root@localhost', 'a+b@x.test'):\n"
        "    assert mailbox(address)\n"
        "assert not {'email_validator', 'idna', 'dns'} & set(sys.modules)\n"
        "mailbox('me@münchen.example')\n"
        "assert 'email_validator' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-X", "utf8", "-c", program], check=True)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        pytest.param("me@example\u3002org", "look like", id="ideographic full stop"),
        pytest.param("me@example\uff0eorg", "look like", id="full-width full stop"),
        pytest.param("me@\uff45xample.org", "look like", id="full-width letter"),
        pytest.param("me@e\u212aample.org", "look like", id="Kelvin sign in the domain"),
        pytest.param("me@exam\u034fple.org", "look like", id="a joiner that vanishes"),
        pytest.param("mi\u212ae@example.org", "look like", id="Kelvin sign in the local part"),
        pytest.param("=?utf-8?q?evil=40x.org?=@example.org", "encoded word", id="encoded word"),
        pytest.param("=?UTF-8?B?ZXZpbA==?=@localhost", "encoded word", id="encoded word, private"),
        pytest.param("é" * 33 + "@example.org", "64 octets", id="33 characters, 66 octets"),
    ],
)
def test_what_would_become_another_address_is_refused(address: str, words: str) -> None:
    with pytest.raises(AddressError, match=words):
        mailbox(address)


@pytest.mark.parametrize(
    "address", ["=?x?=@example.org", "a@[IPv6:::ffff:192.0.2.1]", "e\u0301@mu\u0308nchen.example"]
)
def test_what_only_resembles_that_travels(address: str) -> None:
    assert mailbox(address)


# Local names.


@pytest.mark.parametrize("name", ["root", "Root", "www-data", "a.b", "ops+cron", '"a b"', "jörg"])
def test_a_local_name_travels_without_a_domain(name: str) -> None:
    assert local_mailbox(name) == Mailbox(name, name)


@pytest.mark.parametrize(
    "name", ["", "ro ot", "root\r\nRCPT TO:<you>", "<root>", "a..b", "root@", "@", "a" * 65]
)
def test_what_is_no_local_name_is_refused(name: str) -> None:
    with pytest.raises(AddressError):
        local_mailbox(name)


def test_a_local_name_is_named_in_the_error_as_it_was_given() -> None:
    with pytest.raises(AddressError, match=r"'root@example\.org' is no address"):
        local_mailbox("root@example.org")


# What was checked already.


def test_what_is_checked_already_is_taken_as_it_is() -> None:
    box = Mailbox("Me@Example.ORG", "path that nobody checks")
    assert mailbox(box) is box
    envelope = Envelope.of(sender=box, recipients=[box, "you@example.org", mailbox("you@example.org")])
    assert envelope.sender is box
    assert envelope.recipients == (box, mailbox("you@example.org"))
    assert not envelope.needs_smtputf8


def test_a_name_without_a_domain_may_be_sender_and_recipient() -> None:
    envelope = Envelope.of(sender=local_mailbox("root"), recipients=[local_mailbox("root"), "root@localhost"])
    assert [box.path for box in envelope.recipients] == ["root", "root@localhost"]


# Joiners (RFC 5892 appendix A): seen by nobody, and right only where a script needs them.

SRI = "xn--10cl1a0b660p"
"""A Sinhala word with a joiner after a virama."""

JOINED = {
    "after a virama": f"{SRI}.example.com",
    "in the last label": f"example.{SRI}",
    "in capitals": f"{SRI.upper()}.Example.COM",
    "in two labels": f"{SRI}.{SRI}.example.com",
    "beside another A-label": f"xn--mnchen-3ya.{SRI}.com",
    "between joining letters": "xn--mgba3gch31f060k.com",
    "in a private network": f"{SRI}.localhost",
    "alone": SRI,
}


@pytest.mark.parametrize("name", JOINED)
def test_a_domain_with_joiners_travels_in_a_labels(name: str) -> None:
    domain = JOINED[name]
    expected = f"to@{domain.lower()}"
    assert mailbox(f"to@{domain}") == Mailbox(expected, expected)
    assert ascii_domain(domain) == domain.lower()


@pytest.mark.parametrize("local", ["a.b", '"a b"', "jörg", "-rf", "a+b"])
def test_before_such_a_domain_a_local_part_is_what_it_is_elsewhere(local: str) -> None:
    assert mailbox(f"{local}@{SRI}.com").path == f"{local}@{SRI}.com"


NOT_JOINED = {
    "after a letter": "to@xn--a-ugn.com",
    "between letters": "to@xn--ab-m1t.com",
    "in letters, not labels": "to@\u0dc1\u0dca\u200d\u0dbb\u0dd3.com",
    "beside a label that is none": f"to@{SRI}.exa_mple.com",
    "beside an empty label": f"to@{SRI}..com",
    "beside a hyphen": f"to@-a.{SRI}.com",
    "before a line end": f"to@{SRI}.com\r\nRCPT",
    "before a space": f"to@{SRI}.com x",
    "beside a wrong A-label": f"to@xn--ls8h.{SRI}.com",
    "two ats": f"a@b@{SRI}.com",
    "nothing before it": f"@{SRI}.com",
    "two dots before it": f"a..b@{SRI}.com",
    "a local part too long": f"{'a' * 65}@{SRI}.com",
    "too many octets of it": f"{'é' * 33}@{SRI}.com",
    "an encoded word": f"=?utf-8?q?x?=@{SRI}.com",
    "a name beside it": f"You <to@{SRI}.com>",
    "too long": f"to@{'.'.join(['a' * 60] * 4)}.{SRI}.com",
}


@pytest.mark.parametrize("name", NOT_JOINED)
def test_a_joiner_makes_nothing_else_right(name: str) -> None:
    with pytest.raises(AddressError):
        mailbox(NOT_JOINED[name])


@pytest.mark.parametrize(
    "address",
    [
        pytest.param(f"to@{SRI}.com.", id="a dot at the end"),
        pytest.param(f"to@{SRI}.{'a' * 64}.com", id="a label of 64 octets"),
        pytest.param(f"to@{SRI}.1", id="a number at the end"),
    ],
)
def test_the_other_labels_are_checked_as_elsewhere(address: str) -> None:
    with pytest.raises(AddressError):
        mailbox(address.replace(SRI, "example"))  # as it is without it
    with pytest.raises(AddressError):
        mailbox(address)


@pytest.mark.parametrize("local", ["a..b", "a b", "a" * 65])
def test_the_error_names_the_address_that_was_given(local: str) -> None:
    with pytest.raises(AddressError, match=SRI):
        mailbox(f"{local}@{SRI}.com")
