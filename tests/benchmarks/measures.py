"""What is measured? One function for each piece of work, which yields a row for each goal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import MappingProxyType

from tests.benchmarks.messages import written
from tests.benchmarks.places import CHUNKING, PIPELINING, Place, Sink, away, sink
from tests.benchmarks.programs import IMPORTS, NOTHING, SCRIPTS, SITES
from tests.benchmarks.rounds import Bench, alternate, each, output, rate, started, turns
from tests.benchmarks.rows import Goal, Row, Samples
from tests.benchmarks.worker import Job

_RTT = 0.1
_SHORT_RTT = 0.02
"""Seconds of a path on which round trips are counted."""
_PEERS = ("smtplib", "aiosmtplib")
_ALL = (*_PEERS, "portmail")
_RATE, _TIME = "x aiosmtplib's rate", "of aiosmtplib's time"


def round_trips(bench: Bench) -> Iterator[Row]:
    """`send`, as the server counts it; a client that goes on before a reply came would go uncounted."""
    with sink(bench.directory, extensions=PIPELINING) as server:
        for recipients in (1, 100):
            job = Job("", "recipients", server.implicit, recipients=recipients)
            counts = {name: turns(server, replace(job, contestant=name)) for name in _ALL}
            figures = {name: f"{count:g}" for name, count in counts.items()}
            work = f"round trips of a `send` to {recipients}, warm, PIPELINING"
            yield Row(work, Goal("<=", 2), counts["portmail"], figures)


def round_trips_of_many(bench: Bench) -> Iterator[Row]:
    """`send_many` over a path, so that only what waited for a reply counts."""
    counts = {"smtplib": bench.effort.far, "aiosmtplib": bench.effort.far, "portmail": 50}
    for extensions, name in ((PIPELINING, "PIPELINING alone"), (CHUNKING, "CHUNKING")):
        with (
            sink(bench.directory, extensions=extensions, rtt=_SHORT_RTT) as server,
            away(server.implicit, rtt=_SHORT_RTT) as place,
        ):
            found = {who: turns(server, Job(who, "many", place, count=n)) for who, n in counts.items()}
        figures = {who: f"{count:.3g}" for who, count in found.items()}
        yield Row(f"round trips a message, `send_many`, {name}", Goal("<=", 1.1), found["portmail"], figures)


def first_message(bench: Bench) -> Iterator[Row]:
    """One message, connection and login included, 100 ms away."""
    with sink(bench.directory, extensions=PIPELINING) as server, ExitStack() as stack:
        for near, name in ((server.implicit, "implicit TLS"), (server.starttls, "STARTTLS")):
            place = stack.enter_context(away(near, rtt=_RTT))
            jobs = {who: Job(who, "first", place) for who in _ALL}
            yield _time_row(f"first message with its connection, 100 ms, {name}", 0.85, jobs, bench=bench)


def hundred_recipients(bench: Bench) -> Iterator[Row]:
    """One message to 100, on a warm connection."""
    with sink(bench.directory, extensions=PIPELINING) as server, away(server.implicit, rtt=_RTT) as place:
        job = Job("", "recipients", place, recipients=100)
        jobs = {who: replace(job, contestant=who) for who in ("aiosmtplib", "portmail")}
        yield _time_row("100 recipients, 100 ms", 0.05, jobs, bench=bench, runs=1)


def many_far_away(bench: Bench) -> Iterator[Row]:
    """`send_many` over a path."""
    effort = bench.effort
    with ExitStack() as stack:
        plain, chunking = (_far(stack, bench, extensions) for extensions in (PIPELINING, CHUNKING))
        jobs = {who: Job(who, "many", plain, count=effort.far) for who in _PEERS}
        jobs["portmail"] = Job("portmail", "many", plain, count=effort.far_many)
        jobs["with CHUNKING"] = replace(jobs["portmail"], place=chunking)
        jobs["default pool"] = replace(jobs["portmail"], connections=None, count=effort.far_pool)
        jobs["default pool, CHUNKING"] = replace(jobs["default pool"], place=chunking)
        rates = each(alternate(jobs, runs=effort.far_runs), rate)
    base = rates["aiosmtplib"].median
    one, pool = (rates[name].median / base for name in ("portmail", "default pool"))
    figures = {name: samples.told("/s") for name, samples in rates.items()}
    yield Row("`send_many`, one connection, 100 ms", Goal(">=", 3.5, _RATE), one, figures)
    yield Row("`send_many`, default pool, 100 ms", Goal(">=", 12, _RATE), pool, figures)


def many_nearby(bench: Bench) -> Iterator[Row]:
    """`send_many` where only the client's own work counts."""
    effort = bench.effort
    with sink(bench.directory) as chunking, sink(bench.directory, extensions=PIPELINING) as plain:
        jobs = {who: Job(who, "many", chunking.implicit, count=effort.near) for who in _PEERS}
        jobs["portmail"] = Job("portmail", "many", chunking.implicit, count=effort.near_many)
        jobs["with PIPELINING alone"] = replace(jobs["portmail"], place=plain.implicit)
        results = alternate(jobs, runs=effort.runs)
    rates, cpu = each(results, rate), each(results, lambda taken: taken.cpu / taken.count)
    work = "`send_many`, 2 KB, no latency, one connection"
    faster = rates["portmail"].median / rates["aiosmtplib"].median
    cheaper = cpu["portmail"].median / cpu["aiosmtplib"].median
    yield Row(work, Goal(">=", 5, _RATE), faster, _told(rates, "/s"))
    yield Row(f"{work}: CPU", Goal("<=", 0.25, "of aiosmtplib's"), cheaper, _told(cpu, "us", factor=1e6))


def single_nearby(bench: Bench) -> Iterator[Row]:
    """`await send` in a loop, where only the client's own work counts."""
    with sink(bench.directory) as server:
        jobs = {who: Job(who, "single", server.implicit, count=bench.effort.near) for who in _ALL}
        rates = each(alternate(jobs, runs=bench.effort.runs), rate)
    ratio = rates["portmail"].median / rates["aiosmtplib"].median
    yield Row("`await send`, 2 KB, no latency", Goal(">=", 1.6, _RATE), ratio, _told(rates, "/s"))


def blocking_nearby(bench: Bench) -> Iterator[Row]:
    """The blocking `send` in a loop, where only the client's own work counts."""
    with sink(bench.directory) as server:
        job = Job("", "single", server.implicit, count=bench.effort.near)
        jobs = {who: replace(job, contestant=who) for who in ("smtplib", "portmail blocking")}
        rates = each(alternate(jobs, runs=bench.effort.runs), rate)
    ratio = rates["portmail blocking"].median / rates["smtplib"].median
    goal = Goal(">=", 1, "x smtplib's rate")
    yield Row("blocking `send`, 2 KB, no latency", goal, ratio, _told(rates, "/s"))


def attachment(bench: Bench) -> Iterator[Row]:
    """A large file, from its path until it is accepted."""
    path = written(bench.directory / "file.bin", size=bench.effort.file)
    with sink(bench.directory) as server:
        job = Job("", "attachment", server.implicit, path=str(path))
        jobs = {who: replace(job, contestant=who) for who in _ALL}
        results = alternate(jobs, runs=max(1, bench.effort.runs // 2))
    work = f"attachment of {bench.effort.file / 2**20:.0f} MiB from a path"
    seconds, memory = each(results, lambda taken: taken.seconds), each(results, lambda taken: taken.memory)
    stalls = each({who: results[who] for who in _ALL[1:]}, lambda taken: taken.stall)
    ratio = seconds["portmail"].median / seconds["aiosmtplib"].median
    yield Row(work, Goal("<=", 0.1, _TIME), ratio, _told(seconds, "ms", factor=1e3))
    added, stall = max(memory["portmail"].values) / 2**20, max(stalls["portmail"].values) * 1e3
    yield Row(f"{work}: memory added", Goal("<=", 16, "MiB"), added, _told(memory, "MiB", factor=2**-20))
    yield Row(f"{work}: longest stall", Goal("<=", 50, "ms"), stall, _told(stalls, "ms", factor=1e3))


def flat_memory(bench: Bench) -> Iterator[Row]:
    """As many small messages as there is time for; `tests.proof.million` takes a million."""
    found = json.loads(output("-m", "tests.proof.million", "--json", "--count", str(bench.effort.flood)))
    figures = {"accounted for": f"{found['results']:,}", "rate": f"{found['rate']:,.0f} /s"}
    work = f"{bench.effort.flood:,} small messages from a generator: memory added"
    yield Row(work, Goal("<=", 32, "MiB"), found["grown"] / 2**20, figures)


def imports(bench: Bench) -> Iterator[Row]:
    """`import`, less what a Python that imports nothing takes."""
    programs = {name: ("-c", text) for name, text in {"nothing": NOTHING, **IMPORTS}.items()}
    seconds = started(programs, runs=bench.effort.starts)
    bare = seconds["nothing"].median
    ratio = (seconds["portmail"].median - bare) / (seconds["aiosmtplib"].median - bare)
    figures = _told(seconds, "ms", factor=1e3)
    yield Row("`import portmail`", Goal("<=", 0.3, _TIME), ratio, figures)


def scripts(bench: Bench) -> Iterator[Row]:
    """A script that sends one message, from the start of its process to the end."""
    with sink(bench.directory) as server:
        place = server.implicit
        programs = {who: ("-c", text, str(place.port), place.ca) for who, text in SCRIPTS.items()}
        seconds = started(programs, runs=bench.effort.starts)
    ratio = seconds["portmail"].median / seconds["aiosmtplib"].median
    yield Row("a script with one message", Goal("<=", 1, _TIME), ratio, _told(seconds, "ms", factor=1e3))


def django_site(bench: Bench) -> Iterator[Row]:
    """`send_mail` after `send_mail`, each of which makes a backend of its own; 20 ms away."""
    seconds: dict[str, Samples] = {}
    connections: dict[str, int] = {}
    count = bench.effort.site
    with sink(bench.directory) as server, away(server.starttls, rtt=_SHORT_RTT) as place:
        for who, text in SITES.items():
            before = len(server.tallies())
            program = ("-W", "ignore", "-c", text, str(place.port), place.ca, str(count))
            seconds[who] = Samples.of(float(output(*program)) for _ in range(bench.effort.far_runs))
            connections[who] = (len(server.tallies()) - before) // bench.effort.far_runs
    ratio = seconds["Django's own"].median / seconds["portmail"].median
    work = f"Django: {count} x `send_mail`, 20 ms, STARTTLS"
    goal = Goal(">=", 3, "x the rate of Django's own backend")
    yield Row(work, goal, ratio, _told(seconds, "s"))
    figures = {who: str(number) for who, number in connections.items()}
    yield Row(f"{work}: connections", Goal("<=", 1), connections["portmail"], figures)


MEASURES: Mapping[str, Callable[[Bench], Iterator[Row]]] = MappingProxyType(
    {
        measure.__name__.replace("_", "-"): measure
        for measure in (
            round_trips,
            round_trips_of_many,
            first_message,
            hundred_recipients,
            many_far_away,
            many_nearby,
            single_nearby,
            blocking_nearby,
            attachment,
            flat_memory,
            imports,
            scripts,
            django_site,
        )
    }
)


def _far(stack: ExitStack, bench: Bench, extensions: Sequence[str]) -> Place:
    server: Sink = stack.enter_context(sink(bench.directory, extensions=extensions))
    return stack.enter_context(away(server.implicit, rtt=_RTT))


def _time_row(
    work: str, limit: float, jobs: Mapping[str, Job], *, bench: Bench, runs: int | None = None
) -> Row:
    results = alternate(jobs, runs=runs or bench.effort.far_runs)
    seconds = each(results, lambda taken: taken.seconds)
    ratio = seconds["portmail"].median / seconds["aiosmtplib"].median
    return Row(work, Goal("<=", limit, _TIME), ratio, _told(seconds, "ms", factor=1e3))


def _told(samples: Mapping[str, Samples], unit: str, *, factor: float = 1.0) -> Mapping[str, str]:
    return {name: sample.told(unit, factor=factor) for name, sample in samples.items()}
