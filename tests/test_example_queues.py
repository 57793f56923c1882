"""The examples with a job queue send once, later where that is right, and never what is in doubt."""

from __future__ import annotations

import importlib
import os
import pickle
import queue
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.result import AsyncResult
from redis import Redis
from rq.job import Job
from rq.results import Result

import portmail
from portmail.sandbox import Sandbox
from portmail.sandbox.records import Received
from tests.leaks import PASSWORD, USER
from tests.servers.requirements import LOOPBACK, daemon, free_ports, require

pytestmark = pytest.mark.long

EXAMPLES = Path(__file__).parents[1] / "examples"

SECONDS = 20
"""For a message to come through a queue and a worker; a fraction of one is what it takes."""


@dataclass
class House:
    """A broker, and the mail server that the workers submit to."""

    broker: str
    sandbox: Sandbox
    arrivals: queue.Queue[Received] = field(default_factory=queue.Queue)

    @property
    def environment(self) -> dict[str, str]:
        """What a worker and a program that queues are started with."""
        return {
            "PATH": os.environ["PATH"],
            "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"],
            "PYTHONPATH": str(EXAMPLES),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PORTMAIL_URL": self.sandbox.url,
            "PORTMAIL_CA": str(self.sandbox.ca),
            "CELERY_BROKER_URL": self.broker,
            "CELERY_RESULT_BACKEND": self.broker,
            "RQ_REDIS_URL": self.broker,
        }

    def queued(self, example: str, *arguments: str) -> str:
        """Run an example that queues a message; return the Message-ID that it prints."""
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / example), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    def arrived(self) -> Received:
        """The next message that the mail server takes."""
        return self.arrivals.get(timeout=SECONDS)


def answers(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), 1) as client:
            client.sendall(b"PING\r\n")
            return client.recv(64) == b"+PONG\r\n"
    except OSError:
        return False


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis; the URL of it."""
    program = shutil.which("redis-server")
    require(None if program else "redis-server is not installed")
    assert program
    directory = tmp_path_factory.mktemp("redis")
    [port] = free_ports(1)
    options = ("--bind", LOOPBACK, "--port", str(port), "--save", "", "--dir", str(directory))
    with daemon(program, *options, log=directory / "redis.log", ready=lambda: answers(port)):
        yield f"redis://{LOOPBACK}:{port}/0"


@pytest.fixture(scope="module")
def house(broker: str) -> Iterator[House]:
    arrivals: queue.Queue[Received] = queue.Queue()
    with Sandbox(users={USER: PASSWORD}, arrived=arrivals.put) as sandbox:
        yield House(broker, sandbox, arrivals)


@pytest.fixture(autouse=True)
def well_behaved(house: House) -> Iterator[None]:
    """Nothing is ordered at the end of a test, and nothing is left."""
    yield
    house.sandbox.behave()
    assert house.arrivals.empty()


@contextmanager
def working(house: House, directory: Path, *command: str, ready: str) -> Iterator[Path]:
    """A worker, started as its example says; its log."""
    log = directory / "worker.log"
    program = str(Path(sys.executable).with_name(command[0]))
    environment = [f"{name}={value}" for name, value in house.environment.items()]
    started = ("env", "-i", *environment, program, *command[1:])
    with daemon(*started, log=log, ready=lambda: ready in log.read_text("utf-8")):
        yield log


@pytest.fixture(scope="module")
def celery_worker(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    command = ("celery", "-A", "celery_task", "worker", "-l", "INFO", "-c", "2", "--without-mingle")
    with working(house, tmp_path_factory.mktemp("celery"), *command, ready=" ready.") as log:
        yield log


@pytest.fixture(scope="module")
def rq_worker(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    command = ("rq", "worker", "--with-scheduler")
    with working(house, tmp_path_factory.mktemp("rq"), *command, ready="Listening on") as log:
        yield log


@pytest.fixture
def celery(house: House) -> Iterator[Celery]:
    """How a program asks what became of a task.

    An app that is closed keeps the connections of its results; the garbage collector complains, or not.
    """
    with Celery(broker=house.broker, backend=house.broker) as app:
        yield app
        results: Any = app.backend
        results.result_consumer.stop()
        results.client.connection_pool.disconnect()


def two_at_once() -> Callable[[], float]:
    """A clock on which two recipients are asked for, and all the rest is long afterwards."""
    return chain((0.0, 0.0), repeat(100.0)).__next__


def outcome(app: Celery, message_id: str) -> object:
    """What the task returned; raises what it raised."""
    result: AsyncResult[object] = AsyncResult(message_id, app=app)
    return result.get(timeout=SECONDS, interval=0.05)


def test_a_celery_task_sends_one_message_by_its_id(house: House, celery_worker: Path, celery: Celery) -> None:
    message_id = house.queued("celery_task.py", "ann@example.org")
    received = house.arrived()
    assert received.message["Message-ID"] == message_id == outcome(celery, message_id)
    assert received.recipients == ("ann@example.org", "archive@example.com")
    assert b"archive" not in received.content
    log = celery_worker.read_text("utf-8")
    assert f"celery_task.deliver[{message_id}] succeeded" in log
    assert "concurrency: 2 (prefork)" in log
    assert "on its way" not in log


def test_a_celery_task_tries_again_what_is_temporary(
    house: House, celery_worker: Path, celery: Celery
) -> None:
    house.sandbox.greylist(seconds=1, clock=two_at_once())
    message_id = house.queued("celery_task.py", "bob@example.org")
    assert house.arrived().message["Message-ID"] == message_id == outcome(celery, message_id)
    assert f"{message_id}] retry: Retry in 1" in celery_worker.read_text("utf-8")


def test_a_celery_task_never_tries_again_what_is_in_doubt(
    house: House, celery_worker: Path, celery: Celery
) -> None:
    house.sandbox.drop_after_dot(times=1)
    message_id = house.queued("celery_task.py", "eve@example.org")
    with pytest.raises(portmail.InDoubt, match="It may have been accepted"):
        outcome(celery, message_id)
    assert house.arrived().message["Message-ID"] == message_id
    assert f"{message_id}] retry" not in celery_worker.read_text("utf-8")


def rq_result(house: House, worker: Path, message_id: str) -> Result:
    """How the job ended that the worker's log names by that Message-ID."""
    [job_id] = re.findall(rf"default: {re.escape(message_id)} \((\S+)\)", worker.read_text("utf-8"))[-1:]
    with Redis.from_url(house.broker) as connection:
        result = Job.fetch(job_id, connection=connection).latest_result(timeout=SECONDS)
    assert result
    return result


def test_an_rq_job_sends_one_message(house: House, rq_worker: Path) -> None:
    message_id = house.queued("rq_job.py", "ann@example.org")
    received = house.arrived()
    assert received.message["Message-ID"] == message_id
    assert received.recipients == ("ann@example.org", "archive@example.com")
    assert b"archive" not in received.content
    assert rq_result(house, rq_worker, message_id).return_value == message_id
    assert "on its way" not in rq_worker.read_text("utf-8")


def test_an_rq_job_tries_again_what_is_temporary(house: House, rq_worker: Path) -> None:
    house.sandbox.greylist(seconds=1, clock=two_at_once())
    message_id = house.queued("rq_job.py", "bob@example.org")
    assert house.arrived().message["Message-ID"] == message_id
    assert rq_worker.read_text("utf-8").count(f"default: {message_id} ") == 2


def test_an_rq_job_never_tries_again_what_is_in_doubt(house: House, rq_worker: Path) -> None:
    house.sandbox.drop_after_dot(times=1)
    message_id = house.queued("rq_job.py", "eve@example.org")
    assert house.arrived().message["Message-ID"] == message_id
    result = rq_result(house, rq_worker, message_id)
    assert result.type is Result.Type.FAILED
    assert "portmail.errors.InDoubt: In doubt" in str(result.exc_string)


def example(name: str, house: House, patch: pytest.MonkeyPatch) -> Any:
    """An example as a module of this process, with the environment of a worker."""
    for variable, value in house.environment.items():
        patch.setenv(variable, value)
    patch.syspath_prepend(str(EXAMPLES))
    patch.setattr(sys, "dont_write_bytecode", True)
    patch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


def order(*recipients: str) -> EmailMessage:
    message = portmail.compose(to=recipients, subject="Grüße", sender="shop@example.com")
    message["Message-ID"] = "<one@example.com>"
    return message


def greylisted_before(house: House, address: str) -> None:
    """Have the mail server know that address already, and nobody else."""
    house.sandbox.greylist()
    with portmail.Submitter.from_env(retry=None) as mail, pytest.raises(portmail.Rejected):
        mail.send(order(address))


def test_a_celery_task_sends_the_rest_to_those_who_were_told_to_wait(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = example("celery_task", house, monkeypatch)
    greylisted_before(house, "ann@example.org")
    done = task.deliver.apply((portmail.sealed(order("ann@example.org", "bob@example.org")),))
    assert done.get() == "<one@example.com>"
    assert [house.arrived().recipients for _ in range(2)] == [("ann@example.org",), ("bob@example.org",)]
    task.mail().close()


def test_a_celery_task_that_runs_twice_sends_the_same_octets(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = example("celery_task", house, monkeypatch)
    given: list[portmail.Sealed] = []
    monkeypatch.setattr(task.deliver, "apply_async", lambda arguments, **_: given.extend(arguments))
    message_id = task.enqueue(
        portmail.compose(to="ann@example.org", subject="Grüße", sender="me@example.com")
    )
    assert [task.deliver(*given) for _ in range(2)] == [message_id, message_id]
    assert house.arrived().content == house.arrived().content
    task.mail().close()


@pytest.mark.parametrize("name", ["celery_task", "rq_job"])
def test_a_recipient_that_is_refused_for_good_is_logged(
    name: str,
    house: House,
    rq_worker: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    task = example(name, house, monkeypatch)
    house.sandbox.reject("gone@example.org")
    assert task.deliver(portmail.sealed(order("ann@example.org", "gone@example.org"))) == "<one@example.com>"
    assert house.arrived().recipients == ("ann@example.org",)
    [told] = [it.getMessage() for it in caplog.records if it.name.endswith(name)]
    assert told == "<one@example.com>: refused: gone@example.org: 550 5.1.1 no such user"


def test_the_error_of_a_celery_task_tells_another_process_everything(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = example("celery_task", house, monkeypatch)
    house.sandbox.drop_after_dot()
    done = task.deliver.apply((portmail.sealed(order("ann@example.org")),))
    house.arrived()
    error = pickle.loads(pickle.dumps(done.result))  # noqa: S301  # it is our own
    assert isinstance(error, portmail.InDoubt)
    assert (error.message_id, error.temporary, str(error)) == (
        "<one@example.com>",
        False,
        str(done.result),
    )
    task.mail().close()


def test_a_celery_task_never_waits_longer_than_redis_waits_for_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = example("celery_task", house, monkeypatch)
    with task.app.connection_for_write() as connection:
        visible_again = connection.default_channel.visibility_timeout
    assert task.soon(10 * visible_again) < visible_again
    assert task.soon(12.5) == 12.5


def test_an_rq_job_leaves_the_rest_to_a_job_for_later(
    house: House, rq_worker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = example("rq_job", house, monkeypatch)
    greylisted_before(house, "ann@example.org")
    letter = portmail.sealed(order("ann@example.org", "bob@example.org"))
    assert job.deliver(letter) == "<one@example.com>"
    assert house.arrived().recipients == ("ann@example.org",)
    with job.mails() as mails:
        [job_id] = mails.scheduled_job_registry.get_job_ids()
        rest = Job.fetch(job_id, connection=mails.connection)
        assert rest.args[0] == {**letter, "recipients": ["bob@example.org"]}
        assert rest.func
        assert rest.func(*rest.args) == "<one@example.com>"
        assert house.arrived().recipients == ("bob@example.org",)
        rest.delete()
