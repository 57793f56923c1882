"""Is a netrc read as its readers read it?"""

from __future__ import annotations

from pathlib import Path

import pytest

from portmail.errors import ConfigurationError
from portmail.importing.found import NothingFound
from tests.importing.reading import Account, fed_back, translated

H = "mail.example.com"


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".netrc"
    path.write_text(
        f'machine {H} login me@x password "p w#"\nmachine o.example.com login you account z password q\n'
    )
    return path


def test_a_login_is_found_and_always_goes_encrypted(netrc: Path) -> None:
    translation = translated("netrc", host=H)
    assert fed_back(translation) == Account(f"{H}:587 starttls, {H}:465 implicit-tls", ("me@x", "p w#"))
    assert "netrc says nothing of ports and TLS" in translation.notes[0]
    assert fed_back(translated("netrc", str(netrc), host=H)) == fed_back(translation)


def test_what_is_odd_is_told(netrc: Path) -> None:
    assert (
        "account: SMTP has no such thing, it is left out" in translated("netrc", host="o.example.com").notes
    )
    with pytest.raises(NothingFound, match=f"no machine elsewhere: it has {H}, o.example.com"):
        translated("netrc", host="elsewhere")
    netrc.write_text("default login any password thing\n")
    assert (
        "there is no machine elsewhere: this is the default entry"
        in translated("netrc", host="elsewhere").notes
    )
    netrc.write_text(f"machine {H} login me\n")
    assert "there is no password" in translated("netrc", host=H).notes[-1]


def test_a_file_that_cannot_be_read_is_told_without_its_words(netrc: Path) -> None:
    netrc.write_text(f"machine {H} login me password x\ns3cret\n")
    with pytest.raises(ConfigurationError, match=r"about line [23]: that is no netrc") as told:
        translated("netrc", host=H)
    assert "s3cret" not in str(told.value)
    for path, words in (
        ("missing", "No such file"),
        (str(netrc.parent), "Is a directory"),
        ("~nobody9/x", ""),
    ):
        with pytest.raises(ConfigurationError, match=f"cannot be read: {words}"):
            translated("netrc", path, host=H)
