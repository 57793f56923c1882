"""Is what was learnt there in the next run, and is nothing believed, shown or broken on the way?"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from portmail.store import Nowhere, Store, usual_directory

KIND, KEY = "routes", ("example.com", "")
VALUE = {"host": "mail.example.com", "ports": [465, 587], "due": 1.5, "note": None}
LARGEST = 64 * 1024

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file away")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "portmail"


@pytest.fixture
def store(root: Path) -> Store:
    store = Store(root)
    assert store.write(KIND, KEY, VALUE)
    return store


def entry(root: Path, kind: str = KIND) -> Path:
    """The only file of its kind."""
    [path] = (root / kind).iterdir()
    return path


def everything_in(root: Path) -> bytes:
    """Every octet below a directory, of names and of contents."""
    paths = sorted(root.rglob("*"))
    return b"\n".join(
        bytes(path.relative_to(root)) + b" " + (path.read_bytes() if path.is_file() else b"")
        for path in paths
    )


def test_what_is_written_is_read_in_the_next_run(root: Path, store: Store) -> None:
    assert store.read(KIND, KEY) == Store(root).read(KIND, KEY) == VALUE


def test_the_last_to_write_wins_and_what_is_forgotten_is_gone(store: Store) -> None:
    assert store.write(KIND, KEY, {"host": "other"})
    assert store.read(KIND, KEY) == {"host": "other"}
    store.forget(KIND, KEY)
    assert store.read(KIND, KEY) is None
    store.forget(KIND, KEY)


def test_kinds_and_keys_keep_apart(store: Store) -> None:
    others = [("approvals", KEY), (KIND, ("example.com",)), (KIND, ("", "example.com")), (KIND, ())]
    assert [store.read(kind, key) for kind, key in others] == [None] * 4
    for number, (kind, key) in enumerate(others):
        assert store.write(kind, key, {"number": number})
    assert [store.read(kind, key) for kind, key in others] == [{"number": n} for n in range(4)]
    assert store.read(KIND, KEY) == VALUE


@pytest.mark.parametrize("kind", ["", "..", "../routes", "a/b", "Routes", ".x", "routes\0", "x" * 99])
def test_a_kind_is_a_plain_word(store: Store, kind: str) -> None:
    for use in (store.read, store.forget):
        with pytest.raises(ValueError, match="no kind of memory"):
            use(kind, KEY)
    with pytest.raises(ValueError, match="no kind of memory"):
        store.write(kind, KEY, VALUE)


def test_keys_are_nowhere_to_be_seen(root: Path, store: Store) -> None:
    store.write(KIND, ("jane.doe@example.com", "example.net"), {"found": True})
    seen = everything_in(root).lower()
    assert b"found" in seen
    assert not [word for word in (b"jane", b".doe", b"example.net") if word in seen]


def test_two_users_have_other_names_for_the_same(tmp_path: Path) -> None:
    stores = [Store(tmp_path / user) for user in ("me", "you")]
    assert all(store.write(KIND, KEY, VALUE) for store in stores)
    assert entry(tmp_path / "me").name != entry(tmp_path / "you").name


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_may_look_or_write(root: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        assert Store(root).write(KIND, KEY, VALUE)
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (root.parent, root, *root.rglob("*"))}
    assert modes == {path: 0o700 if path.is_dir() else 0o600 for path in modes}
    assert sorted(path.name for path in root.iterdir()) == [KIND, "salt"]


def test_reading_and_forgetting_make_nothing(root: Path) -> None:
    assert Store(root).read(KIND, KEY) is None
    Store(root).forget(KIND, KEY)
    assert not root.parent.exists()


# What is odd on the disk.

ODD: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "half of it": lambda octets: octets[: len(octets) // 2],
    "two of it": lambda octets: octets * 2,
    "zeros": lambda octets: bytes(len(octets)),
    "octets": lambda _: bytes(range(256)),
    "UTF-16": lambda octets: octets.decode().encode("utf-16"),
    "a mark before it": lambda octets: b"\xef\xbb\xbf" + octets,
    "a pickle": lambda _: b"\x80\x04}\x94\x8c\x01a\x94K\x01s.",
    "a list": lambda octets: b"[" + octets + b"]",
    "a text": lambda _: b'"host"',
    "a number": lambda _: b"1",
    "null": lambda _: b"null",
    "not a number": lambda _: b'{"due": NaN}',
    "infinity": lambda _: b'{"due": -Infinity}',
    "a number of 5000 digits": lambda _: b'{"due": ' + b"1" * 5000 + b"}",
    "deep": lambda _: b'{"a":' * 12_000,
    "deep and whole": lambda _: b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "one octet too large": lambda octets: octets + b" " * (LARGEST + 1 - len(octets)),
    "huge": lambda octets: octets + b" " * 20_000_000,
}


@pytest.mark.parametrize("odd", ODD)
def test_what_cannot_be_read_was_never_learnt(root: Path, store: Store, odd: str) -> None:
    path = entry(root)
    path.write_bytes(ODD[odd](path.read_bytes()))
    assert store.read(KIND, KEY) is None
    assert store.write(KIND, KEY, VALUE)
    assert store.read(KIND, KEY) == VALUE


def test_what_is_as_large_as_allowed_is_read(root: Path, store: Store) -> None:
    path = entry(root)
    path.write_bytes(path.read_bytes().ljust(LARGEST))
    assert store.read(KIND, KEY) == VALUE


UNWRITABLE: dict[str, Any] = {
    "too large": {"note": "x" * LARGEST},
    "not JSON": {"note": object()},
    "not a number": {"due": float("nan")},
    "octets": {"note": b"x"},
    "odd keys": {("a", "b"): 1},
    "not a mapping": 7,
}


@pytest.mark.parametrize("value", UNWRITABLE.values(), ids=UNWRITABLE)
def test_what_cannot_be_written_leaves_what_was_there(root: Path, store: Store, value: Any) -> None:
    assert store.write(KIND, KEY, value) is False
    assert store.read(KIND, KEY) == VALUE
    assert entry(root).name.endswith(".json")


def test_a_circle_is_not_written(store: Store) -> None:
    circle: dict[str, Any] = {}
    circle["self"] = circle
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert not store.write(KIND, KEY, circle)
    assert not store.write(KIND, KEY, {"deep": deep})
    while deep:  # taken apart by hand: to do so at once is deep, too
        deep = deep.pop()


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    path.unlink()
    before = Path.cwd()
    os.chdir(path.parent)  # the name of a socket has its limit
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(before)


def a_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def a_link(path: Path) -> None:
    """To a file of the same user with the same content."""
    path.symlink_to(path.rename(path.parent.parent / "elsewhere"))


def a_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def given_away(path: Path) -> None:
    os.chown(path, 65534, -1)


def writable_by_group(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o020)


def writable_by_all(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o002)


STRANGE = [a_directory, a_pipe, a_socket, a_device, a_link, a_dangling_link]
NOT_OURS = [pytest.param(given_away, marks=AS_ROOT), writable_by_group, writable_by_all]


@pytest.mark.timeout(5)
@pytest.mark.parametrize("make", [*STRANGE, *NOT_OURS])
def test_an_entry_that_is_not_our_file_is_not_believed(
    root: Path, store: Store, make: Callable[[Path], None]
) -> None:
    path = entry(root)
    make(path)
    assert store.read(KIND, KEY) is None
    healed = make is not a_directory
    assert store.write(KIND, KEY, {"healed": True}) is healed
    assert store.read(KIND, KEY) == ({"healed": True} if healed else None)
    assert not (root / "nowhere").exists()
    store.forget(KIND, KEY)


@pytest.mark.timeout(5)
@pytest.mark.parametrize("make", [*STRANGE, *NOT_OURS])
def test_what_is_exchanged_after_it_was_looked_at_is_not_believed(
    root: Path, store: Store, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, look = entry(root), Path.lstat

    def look_and_exchange(looked: Path) -> os.stat_result:
        status = look(looked)
        if looked == path:
            monkeypatch.undo()
            make(path)
        return status

    monkeypatch.setattr(Path, "lstat", look_and_exchange)
    assert store.read(KIND, KEY) is None
    assert Path.lstat is look


@pytest.mark.timeout(5)
@pytest.mark.parametrize("make", [*STRANGE, *NOT_OURS])
def test_a_salt_that_is_not_our_file_is_replaced(
    root: Path, store: Store, make: Callable[[Path], None]
) -> None:
    make(root / "salt")
    assert store.read(KIND, KEY) is None
    healed = make is not a_directory
    assert store.write(KIND, KEY, VALUE) is healed
    assert store.read(KIND, KEY) == (VALUE if healed else None)


@pytest.mark.parametrize("salt", [b"", b"short", b"x" * 33, b"x" * 100_000])
def test_a_damaged_salt_is_replaced(root: Path, store: Store, salt: bytes) -> None:
    (root / "salt").write_bytes(salt)
    assert store.read(KIND, KEY) is None
    assert store.write(KIND, KEY, VALUE)
    assert store.read(KIND, KEY) == VALUE


@pytest.mark.parametrize("make", NOT_OURS)
@pytest.mark.parametrize("kind", ["", KIND])
def test_a_directory_that_is_not_ours_is_as_if_it_were_not_there(
    root: Path, store: Store, make: Callable[[Path], None], kind: str
) -> None:
    make(root / kind)
    before = everything_in(root)
    assert store.read(KIND, KEY) is None
    assert not store.write(KIND, KEY, {"host": "other"})
    store.forget(KIND, KEY)
    assert everything_in(root) == before


@pytest.mark.parametrize("kind", ["", KIND])
def test_a_directory_that_is_a_link_is_not_followed(root: Path, store: Store, kind: str) -> None:
    directory = root / kind
    target = directory.rename(root.parent / "target")
    directory.symlink_to(target)
    before = everything_in(target)
    assert store.read(KIND, KEY) is None
    assert not store.write(KIND, KEY, VALUE)
    store.forget(KIND, KEY)
    assert everything_in(target) == before


def test_a_cache_directory_elsewhere_is_followed(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / ".cache").symlink_to("scratch")
    store = Store(tmp_path / ".cache" / "portmail")
    assert store.write(KIND, KEY, VALUE)
    assert store.read(KIND, KEY) == VALUE


@AS_ROOT
def test_nothing_is_made_in_the_directory_of_another_user(root: Path) -> None:
    root.parent.mkdir()
    given_away(root.parent)
    assert not Store(root).write(KIND, KEY, VALUE)
    assert list(root.parent.iterdir()) == []


@pytest.mark.parametrize("broken", ["a file above it", "no such file system", "nobody made the home"])
def test_where_nothing_can_be_written_nothing_is_remembered(tmp_path: Path, broken: str) -> None:
    (tmp_path / "file").write_text("")
    places = {
        "a file above it": tmp_path / "file" / "portmail",
        "no such file system": Path("/proc/portmail/portmail"),
        "nobody made the home": tmp_path / "home" / ".cache" / "portmail",
    }
    store = Store(places[broken])
    assert store.write(KIND, KEY, VALUE) is False
    assert store.read(KIND, KEY) is None
    store.forget(KIND, KEY)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def program(source: str) -> list[str]:
    return [sys.executable, "-c", dedent(source)]


def test_a_directory_that_was_removed_is_no_place(tmp_path: Path) -> None:
    source = """
        import os
        from pathlib import Path
        from portmail.store import Store
        os.mkdir("gone")
        os.chdir("gone")
        os.rmdir("../gone")
        store = Store(Path("portmail"))
        print(store.write("routes", (), {}), store.read("routes", ()), store.forget("routes", ()))
    """
    done = subprocess.run(program(source), cwd=tmp_path, check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False None None\n", "")


def test_a_full_disk_and_no_descriptors_cost_nothing_but_the_memory(root: Path, store: Store) -> None:
    source = f"""
        import os, resource
        from pathlib import Path
        from portmail.store import Store
        store, key = Store(Path({str(root)!r})), {KEY!r}
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        print(store.write("routes", key, {{"note": "x" * 1000}}))
        taken = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
        try:
            while True:
                taken.append(os.open("/", os.O_RDONLY))
        except OSError:
            pass
        print(store.write("routes", key, {{}}), store.read("routes", key), store.forget("approvals", key))
    """
    done = subprocess.run(program(source), check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\nFalse None None\n", "")
    assert entry(root).name.endswith(".json")
    assert store.read(KIND, KEY) == VALUE


def test_a_file_system_without_links_will_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: Any, **__: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    assert Store(root).write(KIND, KEY, VALUE)
    assert Store(root).read(KIND, KEY) == VALUE
    assert sorted(path.name for path in root.iterdir()) == [KIND, "salt"]


# Age and number.


def test_at_most_200_are_kept_and_the_oldest_go(root: Path) -> None:
    store, seen = Store(root), set[Path]()
    for number in range(200):
        store.write(KIND, (str(number),), {"number": number})
        [new] = set((root / KIND).iterdir()) - seen
        seen.add(new)
        os.utime(new, (number + 1000, number + 1000))
    store.write("approvals", KEY, VALUE)
    for number in range(200, 203):
        store.write(KIND, (str(number),), {"number": number})
    kept = [number for number in range(203) if store.read(KIND, (str(number),))]
    assert kept == list(range(3, 203))
    assert store.read("approvals", KEY) == VALUE


def test_what_is_just_written_stays_though_all_others_seem_newer(root: Path) -> None:
    store = Store(root)
    for number in range(200):
        store.write(KIND, (str(number),), {})
    for path in (root / KIND).iterdir():
        os.utime(path, (4e9, 4e9))
    assert store.write(KIND, KEY, VALUE)
    assert store.read(KIND, KEY) == VALUE
    assert len(list((root / KIND).iterdir())) == 200


def test_half_written_files_are_not_read_and_go_after_an_hour(root: Path, store: Store) -> None:
    directory = root / KIND
    old, new, foreign = (directory / name for name in (f".{'0' * 16}", f".{'1' * 16}", "somebody.txt"))
    for path in (old, new, foreign):
        path.write_text('{"host"')
    long_ago = time.time() - 4000
    for path in (old, foreign):
        os.utime(path, (long_ago, long_ago))
    assert store.write(KIND, KEY, VALUE)
    assert [path.exists() for path in (old, new, foreign)] == [False, True, True]
    assert store.read(KIND, KEY) == VALUE


# Many at a time.

WRITER = """
    import sys, time
    from pathlib import Path
    from portmail.store import Store
    store, name, seconds = Store(Path(sys.argv[1])), sys.argv[2], float(sys.argv[3])
    print("ready", flush=True)
    sys.stdin.readline()
    end, count, odd = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end or count < 9:  # however slow the machine is
        written = store.write("routes", ("shared",), {"who": name, "text": name * 8000})
        written &= store.write("routes", (name,), {"count": count})
        seen = store.read("routes", ("shared",))
        own = store.read("routes", (name,))
        odd += not (written and seen and seen["text"] == seen["who"] * 8000 and own == {"count": count})
        count += 1
    print(count, odd)
"""


def writer(root: Path, name: str, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*program(WRITER), str(root), name, str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def begin(writers: list[subprocess.Popen[str]]) -> None:
    for process in writers:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in writers:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()


def test_many_processes_begin_at_once_and_none_sees_half_of_anything(root: Path) -> None:
    writers = [writer(root, name, 0.4) for name in "abcd"]
    begin(writers)
    results = [list(map(int, process.communicate()[0].split())) for process in writers]
    assert [odd for _, odd in results] == [0] * 4
    store = Store(root)
    assert [store.read(KIND, (name,)) for name in "abcd"] == [{"count": count - 1} for count, _ in results]
    assert len(list((root / KIND).iterdir())) == 5


def test_a_writer_that_is_killed_leaves_whole_files(root: Path) -> None:
    process = writer(root, "k", 30)
    begin([process])
    store = Store(root)
    while store.read(KIND, ("k",)) in (None, {"count": 0}):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    seen = store.read(KIND, ("shared",))
    assert seen == {"who": "k", "text": "k" * 8000}
    assert store.write(KIND, ("k",), VALUE)


def test_the_first_ones_agree_on_the_salt(tmp_path: Path) -> None:
    def write(root: Path, number: int) -> bool:
        barrier.wait()
        return Store(root).write(KIND, (str(number),), {"number": number})

    with ThreadPoolExecutor(8) as pool:
        for attempt in range(25):
            root, barrier = tmp_path / str(attempt), threading.Barrier(8)
            assert all(pool.map(write, [root] * 8, range(8)))
            assert [Store(root).read(KIND, (str(number),)) for number in range(8)] == [
                {"number": number} for number in range(8)
            ]


# Where it is.

PLACES = [
    ({"HOME": "/home/me"}, "linux", "/home/me/.cache/portmail"),
    ({"HOME": "/home/me"}, "freebsd14", "/home/me/.cache/portmail"),
    ({"HOME": "/home/me", "XDG_CACHE_HOME": "/scratch/me"}, "linux", "/scratch/me/portmail"),
    ({"HOME": "/home/me", "XDG_CACHE_HOME": "here"}, "linux", "/home/me/.cache/portmail"),
    ({"HOME": "/home/me", "XDG_CACHE_HOME": ""}, "linux", "/home/me/.cache/portmail"),
    ({"HOME": "/Users/me"}, "darwin", "/Users/me/Library/Caches/portmail"),
    ({"LOCALAPPDATA": r"C:\Users\me\AppData\Local"}, "win32", r"C:\Users\me\AppData\Local\portmail\Cache"),
    ({"HOME": "/home/me"}, "win32", None),
    ({}, "linux", None),
    ({"HOME": ""}, "linux", None),
    ({"HOME": "me"}, "linux", None),
    ({"HOME": "/home/me", "PORTMAIL_CACHE": "/srv/cache"}, "linux", "/srv/cache"),
    ({"HOME": "/home/me", "PORTMAIL_CACHE": ""}, "linux", "/home/me/.cache/portmail"),
    ({"HOME": "/home/me", "PORTMAIL_CACHE": "off"}, "linux", None),
    ({"HOME": "/home/me", "PORTMAIL_CACHE": "OFF"}, "linux", None),
    ({"HOME": "/home/me", "PORTMAIL_CACHE": "cache"}, "linux", None),
    ({"PORTMAIL_CACHE": r"D:\cache", "LOCALAPPDATA": r"C:\x"}, "win32", r"D:\cache"),
]


@pytest.mark.parametrize(("environ", "platform", "directory"), PLACES)
def test_the_environment_says_where_it_is(
    environ: dict[str, str], platform: str, directory: str | None
) -> None:
    assert usual_directory(environ, platform=platform) == directory


def test_the_environment_is_read_when_the_store_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTMAIL_CACHE", str(tmp_path / "one"))
    first = Store.usual()
    monkeypatch.setenv("PORTMAIL_CACHE", str(tmp_path / "two"))
    assert first.write(KIND, KEY, VALUE)
    assert Store.usual().read(KIND, KEY) is None
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_off_is_a_store_that_remembers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTMAIL_CACHE", "off")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    store = Store.usual()
    assert isinstance(store, Nowhere)
    assert store.write(KIND, KEY, VALUE) is False
    store.forget(KIND, KEY)
    assert store.read(KIND, KEY) is None
    assert list(tmp_path.iterdir()) == []


def test_importing_it_reads_and_loads_little() -> None:
    source = """
        import os, sys
        before = set(sys.modules)
        import portmail.store
        heavy = {"asyncio", "email", "tempfile", "pickle", "sqlite3"}
        assert not heavy & (set(sys.modules) - before), heavy & set(sys.modules)
    """
    subprocess.run(program(source), check=True)


def test_what_is_written_is_plain_json(root: Path, store: Store) -> None:
    assert json.loads(entry(root).read_text("ascii")) == VALUE
