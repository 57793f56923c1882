"""Is what was found used for as long as it may be, by whom it may be, and no longer?"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import traceback
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from portmail.candidate import Candidate, Login, Source, Trust
from portmail.discovery import memory as module
from portmail.discovery.memory import Memory, memory
from portmail.discovery.pin import Pin, may_replace, pin_key
from portmail.errors import ApprovalRequired, DiscoveryError, DiscoveryIncomplete
from portmail.route import Route
from portmail.search import Discovery, Validation
from portmail.security import Security
from portmail.store import Nowhere, Store

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
NOW = 1_800_000_000.0
DOMAIN = "example.com"
KEY = pin_key(DOMAIN, discovery=Discovery())
OTHER = pin_key("example.net", discovery=Discovery())


class Clock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def candidate(
    host: str = "mail.example.com",
    port: int = 465,
    *,
    security: Security = Security.IMPLICIT_TLS,
    source: Source = Source.AUTOCONFIG,
    trust: Trust = Trust.OWNER,
    **rest: Any,
) -> Candidate:
    return Candidate(Route(host, port, security), source, trust, **rest)


RICH = (
    candidate(logins=frozenset(Login), username="%EMAILLOCALPART%.%EMAILDOMAIN%", note="ä \n 'quoted'"),
    candidate("2001:db8::1", 2587, security=Security.STARTTLS, username=None, derived="as 465 is listed"),
    candidate("xn--mil-ela.example", 587, security=Security.STARTTLS),
)
PIN = Pin.of(RICH, now=NOW)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "portmail"


@pytest.fixture
def remembering(root: Path, clock: Clock) -> Memory:
    return Memory(Store(root), clock=clock)


def next_run(root: Path, clock: Clock) -> Memory:
    return Memory(Store(root), clock=clock)


def test_a_pin_is_there_at_once_and_in_the_next_run(remembering: Memory, root: Path, clock: Clock) -> None:
    assert remembering.pin(KEY) is None
    remembering.keep(KEY, PIN)
    assert remembering.pin(KEY) is PIN
    later = next_run(root, clock)
    assert later.pin(KEY) == PIN
    assert later.pin(KEY) is later.pin(KEY)
    assert remembering.pin(OTHER) is later.pin(OTHER) is None


def test_without_a_store_it_is_remembered_as_long_as_the_program_runs() -> None:
    remembering = Memory(Nowhere())
    remembering.keep(KEY, replace(PIN, found=remembering.clock(), due=remembering.clock()))
    remembering.approve(DOMAIN, "host.example")
    assert remembering.pin(KEY)
    assert remembering.approved(DOMAIN) == {"host.example"}


def test_a_pin_from_the_store_is_read_once(remembering: Memory, root: Path, clock: Clock) -> None:
    remembering.keep(KEY, PIN)
    later = next_run(root, clock)
    assert later.pin(KEY) == PIN
    for path in (root / "routes").iterdir():
        path.unlink()
    assert later.pin(KEY) == PIN


def test_what_was_forgotten_stays_so_even_where_the_store_cannot_forget(
    root: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(root)
    Memory(store, clock=clock).keep(KEY, PIN)
    monkeypatch.setattr(store, "forget", lambda *_: None)  # a file system that can only be read
    later = Memory(store, clock=clock)
    assert later.pin(KEY) == PIN
    later.forget(KEY)
    assert later.pin(KEY) is None
    later.keep(KEY, PIN)
    assert later.pin(KEY) is PIN


def test_what_was_forgotten_is_gone_in_the_next_run(remembering: Memory, root: Path, clock: Clock) -> None:
    remembering.keep(KEY, PIN)
    remembering.keep(OTHER, PIN)
    remembering.approve(DOMAIN, "host.example")
    remembering.forget(KEY)
    assert next_run(root, clock).pin(KEY) is None
    assert next_run(root, clock).pin(OTHER) == PIN
    assert next_run(root, clock).approved(DOMAIN) == {"host.example"}


# How long.

LIFETIMES = [
    (None, 7 * DAY),
    (0.0, 5 * MINUTE),
    (-1.0, 5 * MINUTE),
    (299.0, 5 * MINUTE),
    (HOUR, HOUR),
    (DAY + 1, DAY),
    (float("inf"), DAY),
    (float("nan"), 5 * MINUTE),
]


@pytest.mark.parametrize(("lifetime", "seconds"), LIFETIMES)
def test_a_pin_is_due_when_its_source_says_so_within_limits(lifetime: float | None, seconds: float) -> None:
    pin = Pin.of([candidate(source=Source.SRV)], now=NOW, lifetime=lifetime)
    assert (pin.found, pin.due) == (NOW, NOW + seconds)
    assert not pin.is_due(NOW)
    assert not pin.is_due(NOW + seconds - 1)
    assert pin.is_due(NOW + seconds)


def test_a_clock_that_went_back_makes_a_pin_due_and_not_immortal(remembering: Memory, clock: Clock) -> None:
    remembering.keep(KEY, PIN)
    clock.now = NOW - HOUR
    pin = remembering.pin(KEY)
    assert pin
    assert pin.is_due(clock.now)
    clock.now = NOW - 181 * DAY
    assert remembering.pin(KEY) is None


@pytest.mark.parametrize("fresh", [False, True], ids=["in this run", "in the next run"])
def test_a_pin_is_used_for_half_a_year_at_most(
    remembering: Memory, root: Path, clock: Clock, fresh: bool
) -> None:
    remembering.keep(KEY, PIN)
    used = next_run(root, clock) if fresh else remembering
    clock.now = NOW + 180 * DAY
    assert used.pin(KEY) == PIN
    clock.now += 1
    assert used.pin(KEY) is None
    assert list((root / "routes").iterdir()) == []


SENSELESS = {
    "no candidates": ((), NOW, NOW),
    "two sources": ((candidate(), candidate(source=Source.PACC)), NOW, NOW),
    "two trusts": ((candidate(), candidate(trust=Trust.DIRECTORY)), NOW, NOW),
    "no TLS": ((candidate(), candidate(security=Security.PLAINTEXT)), NOW, NOW),
    "TLS if offered": ((candidate(port=25, security=Security.OPPORTUNISTIC),), NOW, NOW),
    "due before it was found": ((candidate(),), NOW, NOW - 1),
    "due after more than a week": ((candidate(),), NOW, NOW + 7 * DAY + 1),
    "found before all time": ((candidate(),), -1.0, NOW),
    "found never": ((candidate(),), float("nan"), NOW),
    "due never": ((candidate(),), NOW, float("nan")),
    "found at the end of all time": ((candidate(),), float("inf"), float("inf")),
}


@pytest.mark.parametrize(("candidates", "found", "due"), SENSELESS.values(), ids=SENSELESS)
def test_a_pin_that_makes_no_sense_is_none(
    candidates: tuple[Candidate, ...], found: float, due: float
) -> None:
    with pytest.raises(ValueError, match=r"pin"):
        Pin(candidates, found, due)


def test_a_pin_knows_its_source_its_trust_and_its_hosts() -> None:
    pin = Pin.of([candidate("a.example", source=Source.SRV, trust=Trust.UNSIGNED)], now=NOW)
    assert (pin.source, pin.trust, pin.hosts) == (Source.SRV, Trust.UNSIGNED, frozenset({"a.example"}))


# What is about what.

WISHES: list[tuple[Discovery, Path | None]] = [
    (Discovery(), None),
    (Discovery(sources=["srv"]), None),
    (Discovery(sources=["srv", "mx"]), None),
    (Discovery(resolver="192.0.2.1"), None),
    (Discovery(resolver="192.0.2.1:5353"), None),
    (Discovery(validation=Validation.RESOLVER), None),
    (Discovery(ispdb="https://example.org/"), None),
    (Discovery(), Path("/etc/ca.pem")),
    (Discovery(), Path("ca.pem")),
]


def test_every_option_that_changes_what_may_be_found_makes_another_pin() -> None:
    keys = {pin_key(DOMAIN, discovery=discovery, tls_ca=tls_ca) for discovery, tls_ca in WISHES}
    assert len(keys) == len(WISHES)
    assert pin_key("example.net", discovery=Discovery()) not in keys


def test_options_that_change_nothing_share_a_pin() -> None:
    same = Discovery(sources=["srv", Source.MX], validation="loopback")
    assert pin_key(DOMAIN, discovery=same) == pin_key(
        DOMAIN, discovery=Discovery(sources=[Source.MX, "srv", "mx"], seconds=3)
    )


def test_a_relative_file_of_certificates_is_another_one_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key() -> tuple[str, ...]:
        return pin_key(DOMAIN, discovery=Discovery(), tls_ca=Path("ca.pem"))

    here = key()
    monkeypatch.chdir(tmp_path)
    assert key() != here
    assert key() == pin_key(DOMAIN, discovery=Discovery(), tls_ca=tmp_path / "ca.pem")


# What is odd in the store.


def change(value: dict[str, Any], *path: str | int, to: Any) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(value))
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return changed


CANDIDATES = "candidates"
ODD: dict[str, tuple[tuple[str | int, ...], Any]] = {
    "another version": (("version",), 2),
    "a version that is no number": (("version",), True),
    "a source that there is not": (("source",), "autodiscover"),
    "a source that is no text": (("source",), []),
    "a trust that there is not": (("trust",), "absolute"),
    "found as a text": (("found",), "1800000000"),
    "found as a whole number": (("found",), 1_800_000_000),
    "found at the end of all time": (("found",), 1e308),
    "due in a hundred years": (("due",), NOW + 36500 * DAY),
    "one field more": (("extra",), 1),
    "no list of candidates": ((CANDIDATES,), {}),
    "no candidates": ((CANDIDATES,), []),
    "a candidate that is a list": ((CANDIDATES, 0), []),
    "one field more in a candidate": ((CANDIDATES, 0, "extra"), 1),
    "a route without TLS": ((CANDIDATES, 0, "security"), "plaintext"),
    "a route with TLS if offered": ((CANDIDATES, 1, "security"), "opportunistic"),
    "a security that there is not": ((CANDIDATES, 0, "security"), "tls"),
    "a port that there is not": ((CANDIDATES, 0, "port"), 65536),
    "a port that is a text": ((CANDIDATES, 0, "port"), "465"),
    "a port that is true": ((CANDIDATES, 0, "port"), True),
    "a port with a fraction": ((CANDIDATES, 0, "port"), 465.0),
    "a host that is no name": ((CANDIDATES, 0, "host"), "mail example"),
    "a host with a user": ((CANDIDATES, 0, "host"), "a@mail.example.com"),
    "a host that would be written differently": ((CANDIDATES, 0, "host"), "MAIL.example.com."),
    "a host that is nothing": ((CANDIDATES, 0, "host"), None),
    "a user name that is a number": ((CANDIDATES, 0, "username"), 1),
    "a login that there is not": ((CANDIDATES, 0, "logins"), ["kerberos"]),
    "a login twice": ((CANDIDATES, 0, "logins"), ["none", "none"]),
    "a login that is a list": ((CANDIDATES, 0, "logins"), [[]]),
    "logins as a text": ((CANDIDATES, 0, "logins"), "none"),
    "a note that is nothing": ((CANDIDATES, 0, "note"), None),
}


@pytest.mark.parametrize(("path", "to"), ODD.values(), ids=ODD)
def test_a_pin_with_anything_odd_is_ignored(
    remembering: Memory, root: Path, clock: Clock, path: tuple[str | int, ...], to: Any
) -> None:
    remembering.keep(KEY, PIN)
    store = Store(root)
    written = store.read("routes", KEY)
    assert written
    store.write("routes", KEY, change(written, *path, to=to))
    later = next_run(root, clock)
    assert later.pin(KEY) is None
    later.keep(KEY, PIN)
    assert next_run(root, clock).pin(KEY) == PIN


@pytest.mark.parametrize(
    "field", ["version", "source", "trust", "found", "due", CANDIDATES, "host", "port", "username"]
)
def test_a_pin_without_one_of_its_fields_is_ignored(
    remembering: Memory, root: Path, clock: Clock, field: str
) -> None:
    remembering.keep(KEY, PIN)
    store = Store(root)
    written = store.read("routes", KEY)
    assert written
    (written if field in written else written[CANDIDATES][0]).pop(field)
    store.write("routes", KEY, written)
    assert next_run(root, clock).pin(KEY) is None


HOSTS_THAT_ARE_ODD = [
    {},
    {"version": 1},
    {"version": 2, "hosts": ["a.example"]},
    {"version": 1, "hosts": "a.example"},
    {"version": 1, "hosts": ["a.example", None]},
    {"version": 1, "hosts": [["a.example"]]},
    {"version": 1, "hosts": ["a.example"], "more": 1},
]


@pytest.mark.parametrize("value", HOSTS_THAT_ARE_ODD)
def test_approvals_with_anything_odd_are_ignored(root: Path, clock: Clock, value: dict[str, Any]) -> None:
    Store(root).write("approvals", (DOMAIN,), value)
    later = next_run(root, clock)
    assert later.approved(DOMAIN) == frozenset()
    later.approve(DOMAIN, "b.example")
    assert next_run(root, clock).approved(DOMAIN) == {"b.example"}


# Who is named.


@pytest.mark.parametrize("username", ["jane.doe", "jane.doe@example.com", "jane.doe@%EMAILDOMAIN%"])
def test_a_persons_user_name_is_remembered_in_this_program_alone(
    remembering: Memory, root: Path, clock: Clock, username: str
) -> None:
    remembering.keep(KEY, PIN)
    named = Pin.of([candidate(username=username)], now=NOW)
    remembering.keep(KEY, named)
    assert remembering.pin(KEY) is named
    assert next_run(root, clock).pin(KEY) is None


@pytest.mark.parametrize("source", [Source.BUNDLED, Source.MX])
def test_user_names_of_portmails_own_table_are_written(
    remembering: Memory, root: Path, clock: Clock, source: Source
) -> None:
    pin = Pin.of([candidate(username="apikey", source=source)], now=NOW)
    remembering.keep(KEY, pin)
    assert next_run(root, clock).pin(KEY) == pin


def test_nothing_on_the_disk_names_a_person_or_a_domain_that_was_looked_for(
    remembering: Memory, root: Path
) -> None:
    for name in ("jane.doe", "jane.doe@secret.example", "%EMAILADDRESS%"):
        pin = Pin.of([candidate("mail.host.example", username=name)], now=NOW)
        remembering.keep(pin_key(f"{len(name)}.secret.example", discovery=Discovery()), pin)
    remembering.approve("secret.example", "mail.host.example")
    remembering.keep_nothing(KEY, DiscoveryError("s3cr3t for jane.doe@secret.example"))
    paths = list(root.rglob("*"))
    seen = b"".join(bytes(path) + (path.read_bytes() if path.is_file() else b"") for path in paths)
    assert seen.count(b"mail.host.example") == 2
    assert not [word for word in (b"jane", b".doe", b"s3cr3t", b"secret.example") if word in seen.lower()]


# Approvals.


def test_an_approval_has_no_end_and_counts_for_its_domain_alone(
    remembering: Memory, root: Path, clock: Clock
) -> None:
    remembering.approve(DOMAIN, "One.Example.")
    remembering.approve(DOMAIN, "two.example")
    clock.now += 10_000 * DAY
    for used in (remembering, next_run(root, clock)):
        assert used.approved(DOMAIN) == {"one.example", "two.example"}
        assert used.approved("example.net") == used.approved("mail.example.com") == frozenset()


def test_what_another_program_approves_counts_here_at_once(
    remembering: Memory, root: Path, clock: Clock
) -> None:
    remembering.approve(DOMAIN, "here.example")
    next_run(root, clock).approve(DOMAIN, "there.example")
    assert remembering.approved(DOMAIN) == {"here.example", "there.example"}


# What is nowhere.


def test_a_definite_no_is_believed_for_an_hour_in_this_program(
    remembering: Memory, root: Path, clock: Clock
) -> None:
    assert remembering.nothing(KEY) is None
    remembering.keep_nothing(KEY, DiscoveryError("nothing at all", evidence=()))
    clock.now += HOUR - 1
    assert str(remembering.nothing(KEY)) == "nothing at all"
    assert remembering.nothing(OTHER) is next_run(root, clock).nothing(KEY) is None
    clock.now += 1
    assert remembering.nothing(KEY) is None
    clock.now = NOW - 1
    assert remembering.nothing(KEY) is None


@pytest.mark.parametrize("error", [DiscoveryIncomplete("later"), ApprovalRequired("ask")])
def test_what_may_be_known_later_is_no_definite_no(remembering: Memory, error: DiscoveryError) -> None:
    remembering.keep_nothing(KEY, error)
    assert remembering.nothing(KEY) is None


@pytest.mark.parametrize("end", [lambda it: it.keep(KEY, PIN), lambda it: it.forget(KEY)])
def test_a_definite_no_ends_with_what_is_found_or_forgotten(
    remembering: Memory, end: Callable[[Memory], None]
) -> None:
    remembering.keep_nothing(KEY, DiscoveryError("nothing"))
    end(remembering)
    assert remembering.nothing(KEY) is None


def test_an_error_that_is_remembered_keeps_no_frames_and_gets_none(remembering: Memory) -> None:
    def fail(error: DiscoveryError | None) -> DiscoveryError:
        assert error
        try:
            raise error from OSError("why")
        except DiscoveryError as exc:
            return exc

    evidence = ()
    remembering.keep_nothing(KEY, fail(DiscoveryError("nothing", evidence=evidence)))
    for _ in range(2):
        error = remembering.nothing(KEY)
        assert error
        assert (error.__traceback__, error.__cause__, error.__context__) == (None, None, None)
        assert error.evidence is evidence
        assert len(traceback.extract_tb(fail(error).__traceback__)) == 1


def test_the_error_that_is_remembered_is_let_go_with_all_that_it_holds(remembering: Memory) -> None:
    error = DiscoveryError("nothing")
    held = weakref.ref(error)
    remembering.keep_nothing(KEY, error)
    del error
    gc.collect()
    assert held() is None
    assert remembering.nothing(KEY)


# What may take the place of a pin.

OLD = {trust: Pin.of([candidate("old.example", trust=trust)], now=NOW) for trust in Trust}
REPLACEMENTS = [
    ("somebody as trusted", Trust.DIRECTORY, [("new.example", Trust.DIRECTORY)], True),
    ("somebody more trusted", Trust.UNSIGNED, [("new.example", Trust.OWNER)], True),
    ("somebody less trusted", Trust.OWNER, [("new.example", Trust.DIRECTORY)], False),
    ("somebody not trusted", Trust.DIRECTORY, [("new.example", Trust.UNSIGNED)], False),
    ("somebody not trusted with the host of the pin", Trust.OWNER, [("old.example", Trust.UNSIGNED)], False),
    ("somebody not trusted with an approved host", Trust.OWNER, [("yes.example", Trust.UNSIGNED)], True),
    (
        "somebody not trusted with a host of the pin and another",
        Trust.OWNER,
        [("old.example", Trust.UNSIGNED), ("new.example", Trust.UNSIGNED)],
        False,
    ),
    (
        "somebody not trusted with a host in one of the pin",
        Trust.OWNER,
        [("x.old.example", Trust.UNSIGNED)],
        False,
    ),
    ("nobody", Trust.UNSIGNED, [], False),
]


@pytest.mark.parametrize(("who", "old", "found", "may"), REPLACEMENTS, ids=[row[0] for row in REPLACEMENTS])
def test_a_pin_is_replaced_by(who: str, old: Trust, found: list[tuple[str, Trust]], may: bool) -> None:
    candidates = [candidate(host, trust=trust) for host, trust in found]
    assert may_replace(OLD[old], candidates, approved={"yes.example"}) is may


# Caches, threads, processes.


def test_the_caches_are_bounded_and_keep_the_newest(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BOUND", 8)
    remembering = Memory(Nowhere(), clock=clock)
    keys = [(str(number),) for number in range(20)]
    for key in keys:
        remembering.keep_nothing(key, DiscoveryError("nothing"))
    assert [key for key in keys if remembering.nothing(key)] == keys[-8:]
    for key in keys:
        remembering.keep(key, PIN)
        remembering.approve(key[0], "host.example")
    assert [key for key in keys if remembering.pin(key)] == keys[-8:]
    assert [key for key in keys if remembering.approved(key[0])] == keys[-8:]
    for key in keys:
        remembering.forget(key)
    assert len(remembering._pins) == len(remembering._nothing) + 8 == 8


def test_what_is_read_from_the_store_is_bounded_too(
    remembering: Memory, root: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [(str(number),) for number in range(12)]
    for key in keys:
        remembering.keep(key, PIN)
    monkeypatch.setattr(module, "_BOUND", 8)
    later = next_run(root, clock)
    assert [later.pin(key) for key in keys] == [PIN] * 12
    assert len(later._pins) == 8


def test_many_threads_share_one_memory(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BOUND", 8)
    remembering = Memory(Nowhere(), clock=clock)

    def use(number: int) -> bool:
        key = (str(number % 16),)
        remembering.keep(key, PIN)
        remembering.approve("example.org", f"{number % 99}.example")
        remembering.keep_nothing(key, DiscoveryError("nothing"))
        return remembering.pin(key) in (PIN, None)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(1000)))
    assert len(remembering.approved("example.org")) == 99
    assert max(len(remembering._pins), len(remembering._nothing)) <= 8


def test_there_is_one_memory_for_each_place_and_it_is_looked_up_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTMAIL_CACHE", str(tmp_path / "one"))
    one = memory()
    assert memory() is one
    pin = Pin.of(RICH, now=one.clock())
    one.keep(KEY, pin)
    monkeypatch.setenv("PORTMAIL_CACHE", str(tmp_path / "two"))
    assert memory() is not one
    assert memory().pin(KEY) is None
    monkeypatch.setenv("PORTMAIL_CACHE", "off")
    assert memory().pin(KEY) is None
    monkeypatch.setenv("PORTMAIL_CACHE", str(tmp_path / "one"))
    assert memory().pin(KEY) is pin
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


PROGRAM = """
    import os
    from portmail.discovery.memory import memory
    from portmail.discovery.pin import pin_key
    from portmail.search import Discovery
    here, key = memory(), pin_key("example.com", discovery=Discovery())
    def tell():
        pin = here.pin(key)
        print(pin.source.value, *sorted(pin.hosts), *sorted(here.approved("example.com")), flush=True)
    tell()
    child = os.fork()
    if not child:
        here.approve("example.com", "child.example")
        tell()
        os._exit(0)
    os.waitpid(child, 0)
    tell()
"""


def test_another_program_and_its_children_know_it(tmp_path: Path) -> None:
    there = Memory(Store(tmp_path / "portmail"))
    there.keep(KEY, Pin.of([candidate()], now=there.clock()))
    there.approve(DOMAIN, "b.example")
    done = subprocess.run(
        [sys.executable, "-c", dedent(PROGRAM)],
        env={**os.environ, "PORTMAIL_CACHE": str(tmp_path / "portmail")},
        check=True,
        capture_output=True,
        text=True,
    )
    first = "autoconfig mail.example.com b.example"
    assert done.stdout.splitlines() == [first, f"{first} child.example", f"{first} child.example"]
    assert done.stderr == ""
