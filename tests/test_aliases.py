"""The alias map: names without a domain stand for addresses, or the file is refused with a line number."""

from __future__ import annotations

from pathlib import Path

import pytest

from portmail.cli.sendmail.aliases import Aliases
from portmail.errors import ConfigurationError

MAP = """\
# Whom mail of this machine goes to.
root: ops@example.com

www-data: root,
    web@example.com
  # a comment between
Postmaster: "root"
"two words": tw@example.com
loop: loop, loop@example.com
chased: chaser
chaser: chased
kept: \\kept, ops@example.com
sent: \\root
team: ann@example.com, bob@example.com, ann@example.com, postmaster
"""

NAMES: dict[str, tuple[str, ...]] = {
    "root": ("ops@example.com",),
    "ROOT": ("ops@example.com",),
    "two words": ("tw@example.com",),
    '"two words"': ("tw@example.com",),
    "loop": ("loop", "loop@example.com"),
    "chased": ("chased",),
    "kept": ("kept", "ops@example.com"),
    "sent": ("root",),
    "nobody": ("nobody",),
    "root@example.org": ("root@example.org",),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stands_for_addresses(name: str) -> None:
    assert Aliases.of(MAP).of_name(name) == NAMES[name]


def test_a_name_may_stand_for_names_and_nobody_gets_it_twice() -> None:
    aliases = Aliases.of(MAP)
    assert aliases.of_name("postmaster") == ("ops@example.com",)
    assert aliases.of_name("www-data") == ("ops@example.com", "web@example.com")
    assert aliases.of_name("team") == ("ann@example.com", "bob@example.com", "ops@example.com")


@pytest.mark.parametrize("wild", ["*", "default", "Default"])
def test_a_wild_line_is_for_all_that_have_none(wild: str) -> None:
    aliases = Aliases.of(f"{wild}: all@example.com\nroot: admin\n")
    assert aliases.of_name("anybody") == ("all@example.com",)
    assert aliases.of_name("root") == ("all@example.com",)
    assert aliases.of_name("you@example.org") == ("you@example.org",)


def test_a_wild_line_that_names_a_name_ends() -> None:
    assert Aliases.of("*: root").of_name("anybody") == ("root",)


def test_without_a_map_a_name_stands_for_itself() -> None:
    assert Aliases().of_name("root") == ("root",)


WRONG: dict[str, tuple[str, str]] = {
    "no colon": ("root: a@example.com\nbob", "line 2"),
    "nothing behind the colon": ("root:", "root has no address"),
    "commas only": ("root: , ,", "root has no address"),
    "a program": ('root: "|/usr/bin/vacation root"', "not piped"),
    "a program without quotes": ("root: |vacation", "not piped"),
    "a file": ("root: ops@example.com, /var/mail/root", "into files"),
    "a list": ("root: :include:/etc/list", "from other files"),
    "a name twice": ("root: a@example.com\n\nRoot: b@example.com", "line 3: 'root' has a line already"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_alias_is_told_with_its_line(case: str) -> None:
    text, told = WRONG[case]
    with pytest.raises(ConfigurationError, match="the map, line ") as raised:
        Aliases.of(text, place="the map")
    assert told in str(raised.value)


def test_a_file_is_read_and_one_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "aliases"
    path.write_bytes("\ufeffroot: ops@example.com\r\nbjörn: b@example.com\r\n".encode())
    assert Aliases.read(str(path)).of_name("root") == ("ops@example.com",)
    assert Aliases.read(str(path)).of_name("björn") == ("b@example.com",)
    with pytest.raises(ConfigurationError, match=r"PORTMAIL_ALIASES: .*nowhere.* cannot be read"):
        Aliases.read(str(tmp_path / "nowhere"))
    path.write_bytes(b"root: \xff")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Aliases.read(str(path))
