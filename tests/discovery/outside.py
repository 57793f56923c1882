"""What does a finder hear in a test? `Fake`: a world outside whose answers are data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from portmail.candidate import Answer
from portmail.discovery.outside import Missed, Mx, Outside, Page, R, Records, Srv
from portmail.search import ISPDB, Discovery

Said: TypeAlias = Records[Any] | Page | Missed | bytes | str


class Fake(Outside):
    """Answers what it was told to, and else that nothing is there. `asked` is what it was asked.

    The keys of `answers` are ("srv", name), ("mx", domain), ("txt", name), ("alias", host), or a URL;
    the values what is answered: Records, a name (of an alias), a Page or its body, or what was missed.
    """

    def __init__(self, answers: Mapping[Any, Said] | None = None) -> None:
        self.answers = dict(answers or {})
        self.asked: list[str | tuple[str, str]] = []

    def _answer(self, question: str | tuple[str, str]) -> Any:
        self.asked.append(question)
        answer = self.answers.get(question, _nothing(question))
        if isinstance(answer, Missed):
            raise Missed(answer.answer, answer.said, status=answer.status)
        return answer

    async def srv(self, name: str) -> Records[Srv]:
        answer: Records[Srv] = self._answer(("srv", name))
        return answer

    async def mx(self, domain: str) -> Records[Mx]:
        answer: Records[Mx] = self._answer(("mx", domain))
        return answer

    async def txt(self, name: str) -> Records[bytes]:
        answer: Records[bytes] = self._answer(("txt", name))
        return answer

    async def alias(self, host: str) -> str | None:
        self.asked.append(("alias", host))
        answer = self.answers.get(("alias", host))
        if isinstance(answer, Missed):
            raise Missed(answer.answer, answer.said, status=answer.status)
        assert answer is None or isinstance(answer, str)
        return answer

    async def fetch(self, url: str) -> Page:
        answer = self._answer(url)
        return answer if isinstance(answer, Page) else Page(answer, (url,))


class Somewhere:
    """The world outside, which knows what it is told here; and how it was to be asked."""

    def __init__(self) -> None:
        self.fake = Fake()
        self.opened: list[tuple[Discovery, Path | None]] = []

    def __call__(self, discovery: Discovery, *, tls_ca: Path | None) -> Fake:
        self.opened.append((discovery, tls_ca))
        return self.fake

    def says(self, answers: Mapping[Any, Any]) -> None:
        """From now on, this is what it knows."""
        self.fake.answers = dict(answers)
        self.fake.asked.clear()


def missed(
    answer: Answer = Answer.ABSENT, said: str = "the name does not exist", status: int | None = None
) -> Missed:
    """An answer that is of no use."""
    return Missed(answer, said, status=status)


def records(*found: R, signed: bool = False, lifetime: float = 3600.0) -> Records[R]:
    """The records of a name."""
    return Records(found, signed, lifetime)


def _nothing(question: str | tuple[str, str]) -> Missed:
    """Mozilla's database is there, and has nothing; all else does not exist."""
    known = isinstance(question, str) and question.startswith(ISPDB)
    return missed(said="404: nothing there", status=404) if known else missed()
