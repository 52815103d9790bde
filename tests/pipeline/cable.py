"""A TCP proxy that can be cut as a cable is: one end breaks off, the other hears nothing of it."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER without a linger: the connection ends with a reset."""
WAIT_SECONDS = 10.0
T = TypeVar("T")


class Cable:
    """Carries TCP connections from a free port of 127.0.0.1 to a port there, until it is cut.

    Every method may be called from the test's thread.
    """

    def __init__(self, port: int) -> None:
        self._far_port = port
        self._held: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}  # near end → far end
        self._severed: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cable", daemon=True)
        self._thread.start()
        self._server = self._run(self._serve())
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Break every connection: the near end is reset, the far end hears nothing of it and stays open."""
        self._run(self._cut())

    def let_go(self) -> None:
        """End what was cut: only now does the far end hear of it."""
        self._run(self._let_go())

    def close(self) -> None:
        """End everything."""
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_SECONDS)

    async def _serve(self) -> asyncio.Server:
        return await asyncio.start_server(self._carry, "127.0.0.1", 0)

    async def _carry(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._far_port)
        except OSError:
            near.transport.abort()
            return
        self._held[near] = far
        ways = [asyncio.create_task(_pump(reader, far)), asyncio.create_task(_pump(far_reader, near))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        if self._held.pop(near, None) is not None:  # not cut: both ends learn that it is over
            near.close()
            far.close()

    async def _cut(self) -> None:
        held, self._held = self._held, {}
        for near, far in held.items():
            self._severed.append(far)
            near.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            near.transport.abort()

    async def _let_go(self) -> None:
        severed, self._severed = self._severed, []
        for far in severed:
            far.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        await self._cut()
        await self._let_go()
        # Every connection has been broken off, so whoever carries one comes to its end.
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while some := await reader.read(65_536):
            writer.write(some)
            await writer.drain()
    except OSError:
        # One end broke off; the other is told by whoever waits for this.
        pass
