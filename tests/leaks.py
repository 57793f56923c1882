"""Is a secret in there, in any encoding? In octets, texts, objects, errors and the frames behind them."""

from __future__ import annotations

import base64
import copy
import dataclasses
import pickle
import re
import traceback
import types
import urllib.parse
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

USER, PASSWORD = "me@example.org", "correct horse & battery"

_DEPTH = 7
"""How many steps an error tracker, or a debugger, goes from a variable into what it holds."""

_ENOUGH = 12
"""Octets of a secret, in any form, that are as bad as all of it: what shows it may be cut off."""

_WIDTH = 500
"""How many items of a container are looked at."""


def forms(secret: str) -> Iterator[bytes]:
    """The secret raw, URL-quoted, in hex, and in base64 at each of the three alignments."""
    octets = secret.encode("utf-8", "surrogateescape")
    yield octets
    quoted = urllib.parse.quote(octets, safe="").encode()
    yield from (quoted, quoted.replace(b"%20", b"+"), urllib.parse.quote(octets).encode())
    yield from (octets.hex().encode(), octets.hex().upper().encode(), repr(octets)[2:-1].encode())
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + octets)
        # The first and last characters mix with what stands beside.
        inner = encoded[4 if shift else 0 :].rstrip(b"=")[:-2]
        yield from (inner, inner.translate(bytes.maketrans(b"+/", b"-_")))


def traces(octets: bytes, *, secrets: tuple[str, ...] = (USER, PASSWORD)) -> list[bytes]:
    """Every form of the secrets that is in the octets."""
    return [form for secret in secrets for form in forms(secret) if form in octets]


class Scanner:
    """Looks for secrets, and for what was derived from them, wherever a program may show them.

    `own` says of a file whether it is the program's, which wrote the secret there itself: its frames
    and objects do not count.
    """

    def __init__(
        self, *secrets: str, derived: Iterable[bytes] = (), own: Callable[[str], bool] = lambda _: False
    ) -> None:
        found = {*(form[:_ENOUGH] for secret in secrets for form in forms(secret)), *derived}
        self._forms = re.compile(b"|".join(map(re.escape, sorted(found, key=len, reverse=True))))
        self._own = own

    def octets(self, octets: bytes | bytearray) -> bool:
        """Whether it is in these octets."""
        return self._forms.search(octets) is not None

    def text(self, text: str) -> bool:
        """Whether it is in this text."""
        return self.octets(text.encode("utf-8", "surrogatepass"))

    def shown(self, thing: object) -> list[str]:
        """In which ways an object shows it: all that a program, a debugger or a cache might do with it."""
        return [f"{name} of {type(thing).__name__}" for name, way in _WAYS.items() if self._shows(way, thing)]

    def _shows(self, way: Callable[[Any], Any], thing: object) -> bool:
        try:
            made = way(thing)
        except Exception:  # noqa: BLE001  # refused: then it shows nothing
            return False
        return self.walk(made)

    def error(self, error: BaseException) -> list[str]:
        """Where an error and those behind it show it."""
        found: list[str] = []
        for exc in chain(error):
            if self._is_own(type(exc)):
                continue
            name = type(exc).__name__
            texts = (
                str(exc),
                repr(exc),
                *getattr(exc, "__notes__", ()),
                *traceback.format_exception_only(exc),
            )
            found += [f"text of {name}"] if any(map(self.text, texts)) else []
            told = [value for key, value in vars(exc).items() if key != "__notes__"]
            found += [f"attributes of {name}"] if self.walk([exc.args, told]) else []
            found += [f"{where} ({name})" for where in self._frames(exc)]
        return found

    def _frames(self, exc: BaseException) -> Iterator[str]:
        captured = traceback.TracebackException.from_exception(exc, lookup_lines=False, capture_locals=True)
        for summary in captured.stack:
            if not self._own(summary.filename) and any(map(self.text, (summary.locals or {}).values())):
                yield f"captured locals of {summary.name}"
        for frame, _ in traceback.walk_tb(exc.__traceback__):
            if self._own(frame.f_code.co_filename):
                continue
            found = [name for name, value in frame.f_locals.items() if self.walk(value)]
            if found:
                yield f"locals of {frame.f_code.co_qualname}: {', '.join(found)}"

    def walk(self, thing: object) -> bool:
        """Whether it is in an object, or in what that holds, a few steps deep."""
        waiting: deque[tuple[object, int]] = deque([(thing, 0)])
        seen: dict[int, object] = {}
        while waiting:
            thing, depth = waiting.popleft()
            if id(thing) in seen:
                continue
            seen[id(thing)] = thing  # kept: another one must not get its number
            if isinstance(thing, str | bytes | bytearray):
                if self.text(thing) if isinstance(thing, str) else self.octets(thing):
                    return True
            elif depth < _DEPTH and not isinstance(thing, _CLOSED) and not self._is_own(type(thing)):
                waiting += ((held, depth + 1) for held in _held(thing))
        return False

    def _is_own(self, kind: type) -> bool:
        module = kind.__module__
        return module.partition(".")[0] in ("tests", "__main__")


_CLOSED = (int, float, complex, type(None), type, types.ModuleType, types.CodeType, types.FrameType)
"""Where there is nothing to find. A function's own cells are no attributes: nobody walks into them."""

_PLACES = ("_loop", "loop", "_selector", "_extra", "_sslcontext", "__weakref__")
"""Where the whole program hangs on an object."""


def _held(thing: object) -> Iterator[object]:
    """What an object holds, as its items or attributes."""
    if isinstance(thing, Mapping):
        with_items = list(thing.items())[:_WIDTH] if type(thing).__module__ != "weakref" else []
        yield from (part for pair in with_items for part in pair)
    elif isinstance(thing, list | tuple | set | frozenset | deque):
        yield from list(thing)[:_WIDTH]
    for name, value in _attributes(thing):
        if name not in _PLACES:
            yield value


def _attributes(thing: object) -> Iterator[tuple[str, object]]:
    yield from getattr(thing, "__dict__", {}).items()
    names = (name for kind in type(thing).__mro__ for name in _slots(kind))
    for name in (*names, "__self__", "func", "args", "keywords"):
        if name in ("args", "keywords", "func", "__self__") and not _is_call(thing):
            continue
        try:
            yield name, getattr(thing, name)
        except AttributeError:
            continue


def _is_call(thing: object) -> bool:
    return type(thing).__name__ in ("partial", "method", "builtin_function_or_method")


def _slots(kind: type) -> Iterable[str]:
    slots = vars(kind).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    # A private name is mangled.
    return [
        f"_{kind.__name__.lstrip('_')}{name}" if name.startswith("__") and not name.endswith("__") else name
        for name in names
    ]


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that led to it, in any way."""
    waiting, seen = [error], set()
    while waiting:
        exc = waiting.pop()
        if exc is not None and id(exc) not in seen:
            seen.add(id(exc))
            yield exc
            waiting += [exc.__cause__, exc.__context__]
            waiting += exc.exceptions if isinstance(exc, BaseExceptionGroup) else ()


def _pickled(thing: object) -> list[bytes]:
    return [pickle.dumps(thing, protocol=version) for version in range(pickle.HIGHEST_PROTOCOL + 1)]


_WAYS: Mapping[str, Callable[[Any], Any]] = types.MappingProxyType(
    {
        "repr": repr,
        "str": str,
        "format": lambda thing: [f"{thing}", f"{thing!a}"],
        "vars": vars,
        "asdict": dataclasses.asdict,
        "pickle": _pickled,
        "copy": copy.copy,
        "deepcopy": copy.deepcopy,
        "attributes": lambda thing: thing,
    }
)
