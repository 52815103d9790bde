"""Several envelopes on their way in one thread: what is in flight does not fall to nothing at each one's end."""

from collections.abc import Generator, Iterable, Iterator
from typing import TypeVar

from delivery.senders.contract import Result, Steps
from delivery.senders.loop import thread_loop

K = TypeVar("K")


def alone(steps: Steps) -> Iterator[Result]:
    """Yield one envelope's results as they come in."""
    loop = thread_loop()
    for result in steps:
        if result is None:
            loop.turn()
        else:
            yield result


def together(
    sends: Iterable[tuple[K, Steps]], *, most: int
) -> Generator[tuple[K, Result | None], None, None]:
    """Yield the results of many envelopes as they come in, each with its key, and None with the key at its end.

    At most `most` are under way at a time; the next is taken from `sends` when one ends, in the thread that asks.
    Providers may differ: one that is slow holds up none of the others.
    """
    loop = thread_loop()
    waiting = iter(sends)
    under_way: list[tuple[K, Steps]] = []
    more = True
    try:
        while more or under_way:
            while more and len(under_way) < most:
                send = next(waiting, None)
                if send is None:
                    more = False
                else:
                    under_way.append(send)
            came = False
            for key, steps in [*under_way]:
                result = next(steps, _END)
                while isinstance(result, Result):
                    came = True
                    yield key, result
                    result = next(steps, _END)
                if result is not None:
                    came = True
                    under_way = [other for other in under_way if other[1] is not steps]
                    yield key, None
            if under_way and not came:
                loop.turn()
    finally:
        for _, steps in under_way:
            steps.close()


_END = object()
