"""Questions that gather while others are being answered."""

import asyncio
import threading

from delivery.node.together import Together


def test_what_is_asked_meanwhile_is_asked_together() -> None:
    asked: list[list[int]] = []
    go = threading.Event()

    def ask(questions: list[int]) -> list[int]:
        asked.append(questions)
        go.wait(10)
        return [question * 2 for question in questions]

    async def course() -> list[int]:
        together = Together(ask, most=3)
        first = asyncio.create_task(together(1))
        while not asked:
            await asyncio.sleep(0)
        rest = [asyncio.create_task(together(number)) for number in range(2, 7)]
        await asyncio.sleep(0)
        go.set()
        return [await first, *[await one for one in rest]]

    assert asyncio.run(course()) == [2, 4, 6, 8, 10, 12]
    assert asked == [[1], [2, 3, 4], [5, 6]]


def test_one_refusal_is_its_askers_alone() -> None:
    def ask(questions: list[int]) -> list[int | Exception]:
        return [ValueError("odd") if question % 2 else question for question in questions]

    async def course() -> list[object]:
        together = Together(ask, most=10)
        return await asyncio.gather(*[together(number) for number in (2, 3, 4)], return_exceptions=True)

    two, three, four = asyncio.run(course())
    assert (two, four) == (2, 4)
    assert isinstance(three, ValueError)


def test_a_database_that_is_away_is_told_to_all_and_asked_again_by_the_next() -> None:
    away = [True]

    def ask(questions: list[int]) -> list[int]:
        if away.pop():
            away.append(False)
            raise OSError("away")
        return questions

    async def course() -> list[object]:
        together = Together(ask, most=10)
        failed = await asyncio.gather(together(1), together(2), return_exceptions=True)
        return [*failed, await together(3)]

    one, two, three = asyncio.run(course())
    assert isinstance(one, OSError) and isinstance(two, OSError)
    assert three == 3


def test_who_is_gone_asks_nothing() -> None:
    asked: list[list[int]] = []
    go = threading.Event()

    def ask(questions: list[int]) -> list[int]:
        asked.append(questions)
        go.wait(10)
        return questions

    async def course() -> None:
        together = Together(ask, most=1)
        first = asyncio.create_task(together(1))
        while not asked:
            await asyncio.sleep(0)
        gone, stays = asyncio.create_task(together(2)), asyncio.create_task(together(3))
        await asyncio.sleep(0)
        gone.cancel()
        go.set()
        await asyncio.gather(first, stays)

    asyncio.run(course())
    assert asked == [[1], [3]]
