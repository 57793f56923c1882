"""What if a step of our own fails? It is caught where the loop calls us, and told to those concerned."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import update_wrapper
from typing import Concatenate, ParamSpec, Protocol, TypeVar


class Guarded(Protocol):
    """Who has steps that may fail."""

    @property
    @abstractmethod
    def failed(self) -> Callable[[Exception], None]:
        """What is called with a fault: it ends what cannot go on, and tells whoever waits."""


G = TypeVar("G", bound=Guarded)
P = ParamSpec("P")


def guarded(step: Callable[Concatenate[G, P], None]) -> Callable[Concatenate[G, P], None]:
    """A step that the event loop asks for, which no exception leaves: nobody would hear it there."""

    def safely(self: G, /, *args: P.args, **named: P.kwargs) -> None:
        try:
            step(self, *args, **named)
        except Exception as exc:  # noqa: BLE001  # told by `failed`
            self.failed(exc)

    return update_wrapper(safely, step)
