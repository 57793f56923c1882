"""What does a box do that lets the real server speak? It passes everything on, but for STARTTLS."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, TypeAlias

from tests.servers.street.visit import Visit

Reply: TypeAlias = Sequence[bytes]
"""All lines of what a server says at once."""

_STARTTLS = re.compile(rb"250[ -]STARTTLS\s*", re.IGNORECASE)
_SUBMISSIONS = 465
"""Here all is TLS, of which nothing can be altered."""


def stripped(reply: Reply) -> Reply:
    """Leave STARTTLS out."""
    *first, last = [line for line in reply if not _STARTTLS.fullmatch(line)] or reply
    return [*first, last[:3] + b" " + last[4:]]


def masked(reply: Reply) -> Reply:
    """Write X over STARTTLS, and asterisks over the greeting, but for 2, 0 and blanks."""
    if reply[0].startswith(b"220"):
        return [line[:4] + re.sub(rb"[^20 \r\n]", b"*", line[4:]) for line in reply]
    return [line[:4] + b"XXXXXXXA\r\n" if _STARTTLS.fullmatch(line) else line for line in reply]


async def between(visit: Visit, *, altered: Callable[[Reply], Reply]) -> None:
    """Pass everything on, with the server's replies altered."""
    reader, writer = await asyncio.open_connection(visit.address, visit.port)
    work = (
        (_pass(visit.reader, writer), _pass(reader, visit.writer))
        if visit.port == _SUBMISSIONS
        else (_forth(visit, writer), _back(reader, visit.writer, altered=altered))
    )
    try:
        await _first(*work)
    finally:
        writer.close()


async def _first(*work: Coroutine[Any, Any, None]) -> None:
    """Do all at once, until one is done."""
    tasks = [asyncio.create_task(it) for it in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def _forth(visit: Visit, writer: asyncio.StreamWriter) -> None:
    async for line in visit.lines():
        known = "XXXXXXXX" if line.upper() == "STARTTLS" else line
        writer.write(f"{known}\r\n".encode("latin-1"))
        await writer.drain()


async def _back(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, altered: Callable[[Reply], Reply]
) -> None:
    async for reply in _replies(reader):
        writer.write(b"".join(altered(reply)))
        await writer.drain()


async def _replies(reader: asyncio.StreamReader) -> AsyncIterator[Reply]:
    lines: list[bytes] = []
    while line := await reader.readline():
        lines.append(line)
        if line[3:4] != b"-":
            yield lines
            lines = []
