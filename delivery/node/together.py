"""What many devices ask a database at once, asked in one go: while some are being answered the next ones gather."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from delivery.node.database import blocking

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Together(Generic[Question, Answer]):
    """A blocking function of many questions, awaited by each asker for one.

    `ask` returns an answer, or the exception to raise, for each question in order. At most `most` go
    at once, and no more than `per_second` in a second (None: as fast as they are answered).
    """

    def __init__(
        self,
        ask: Callable[[list[Question]], Sequence[Answer | Exception]],
        *,
        most: int,
        per_second: float | None = None,
    ) -> None:
        self._ask = blocking(ask)
        self._most = most
        self._per_second = per_second
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._task: asyncio.Task[None] | None = None
        self.asked = 0
        """Questions so far."""

    async def __call__(self, question: Question) -> Answer:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())
        return await answer

    async def _work(self) -> None:
        try:
            while self._waiting:
                # whoever is gone asks nothing any more
                self._waiting = [one for one in self._waiting if not one[1].done()]
                some, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                if some:
                    await self._answer(some)
        finally:
            self._task = None

    async def _answer(self, some: list[tuple[Question, asyncio.Future[Answer]]]) -> None:
        began = time.monotonic()
        self.asked += len(some)
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._ask([question for question, _ in some])
        except Exception as error:
            answers = [error] * len(some)
        for (_, asker), answer in zip(some, answers, strict=True):
            if asker.done():
                continue
            if isinstance(answer, Exception):
                asker.set_exception(answer)
            else:
                asker.set_result(answer)
        if self._per_second is not None:
            await asyncio.sleep(max(0.0, began + len(some) / self._per_second - time.monotonic()))
