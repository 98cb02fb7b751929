"""What a worker knows of the others: one interface, whether there are any or not.

Whoever has state that all workers must share says what it is called (`follow`) and how it is taken on. Changing it is
then one call on any worker, which returns when every worker has taken it on.

What is true of one worker at this moment only, the others ask it for (`reports`): so it goes when the worker goes.
"""

import copy
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from service.workers.blocks import Block

State: TypeAlias = dict[str, Any]
"""What is wanted of one part of the service, as JSON has it; empty where nothing was ever asked for."""

Follower: TypeAlias = Callable[[str], list[str]]
"""Takes on the wanted state of a part, and returns what is wrong with it."""

Reporter: TypeAlias = Callable[[], State]
"""Says how things stand in this process; empty where it cannot."""


class Workers(ABC):
    """The processes of one server. A part's name is a kind, or a kind, a slash, and a name: `logging`, `model/m`."""

    def __init__(self) -> None:
        self._followers: dict[str, Follower] = {}
        self._reporters: dict[str, Reporter] = {}

    def follow(self, kind: str, follower: Follower) -> None:
        """Have the parts of a kind taken on by `follower`, in any thread, when any worker changes one."""
        self._followers[kind] = follower

    def change(self, part: str, edit: Callable[[State], State]) -> list[str]:
        """Change what is wanted of a part, and return the faults that any worker found when all have taken it on.

        Blocks until then, so not for the event loop.

        Args:
            edit: makes the new state from the last; what it raises is raised here, and nothing is changed.
        """
        with self.locked():
            self._put(part, edit(self.wanted(part)))
        return list(dict.fromkeys(self._tell(part)))

    def agree(self, part: str, decide: Callable[[State], State]) -> State:
        """Decide what the state of a part is, or find it decided: one worker at a time, and the others are not told.

        Blocks while another worker decides on a part of the same kind, so not for the event loop.

        Args:
            decide: makes the state from the last; what it raises is raised here, and nothing is changed.
        """
        with self.locked(part.partition("/")[0]):
            last = self.wanted(part)
            state = decide(last)
            if state != last:
                self._put(part, state)
        return state

    def take_on(self, part: str) -> list[str]:
        """Take on a part's wanted state in this process."""
        return self._followers[part.partition("/")[0]](part.partition("/")[2])

    def report(self, name: str, reporter: Reporter) -> None:
        """Have `reports` of this name, asked of any worker, call `reporter` in this one, in any thread."""
        self._reporters[name] = reporter

    def reports(self, name: str) -> list[State]:
        """What each worker says; one that cannot, or not within a second, is left out. Not for the event loop."""
        return [state for state in self._asked(name) if state]

    @abstractmethod
    def wanted(self, part: str) -> State:
        """The last wanted state of a part, which may be changed."""

    @abstractmethod
    def locked(self, kind: str = "") -> AbstractContextManager[None]:
        """While this is entered no other worker, and no other thread of this one, is in it; each kind has its own."""

    @abstractmethod
    def block(self, key: str, length: int) -> Block:
        """Counters by a key, all 0: this worker adds to its own, and reads those of all."""

    @abstractmethod
    def start(self) -> None:
        """Take on what other workers change from here on, and what they have changed since this one was made."""

    @abstractmethod
    def close(self) -> None:
        """No longer take anything on."""

    @abstractmethod
    def _asked(self, name: str) -> Sequence[State | None]: ...

    @abstractmethod
    def _put(self, part: str, state: State) -> None: ...

    @abstractmethod
    def _tell(self, part: str) -> list[str]: ...


class Alone(Workers):
    """A server of one process: all is in its memory."""

    def __init__(self) -> None:
        super().__init__()
        self._states: dict[str, State] = {}
        self._locks: dict[str, threading.Lock] = {}

    def wanted(self, part: str) -> State:
        return copy.deepcopy(self._states.get(part, {}))

    def locked(self, kind: str = "") -> AbstractContextManager[Any]:
        return self._locks.setdefault(kind, threading.Lock())

    def block(self, key: str, length: int) -> Block:
        return Block(length)

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _asked(self, name: str) -> Sequence[State | None]:
        return [self._reporters[name]()]

    def _put(self, part: str, state: State) -> None:
        self._states[part] = state

    def _tell(self, part: str) -> list[str]:
        return self.take_on(part)
