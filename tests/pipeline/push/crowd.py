"""A process full of devices, told what to do by lines of JSON: `python -m tests.pipeline.push.crowd`.

The first line says who they are, every other one is an order that is answered with one line.
"""

import asyncio
import json
import random
import sys
from typing import Any

from tests.pipeline.push.device import Device

MOST_LATE = 3.0


class Crowd:
    """The devices of one process."""

    def __init__(self, urls: list[str], devices: list[dict[str, Any]]) -> None:
        self._devices = {one["name"]: Device(urls=urls, **one) for one in devices}

    def some(self, share: float) -> list[Device]:
        """Return so many of the devices, drawn."""
        return random.sample(list(self._devices.values()), int(share * len(self._devices)))

    async def obey(self, order: dict[str, Any]) -> Any:
        """Do what an order says and return the answer."""
        match order["do"]:
            case "greeted":
                lines = [line for device in self._devices.values() for line in device.lines]
                await asyncio.gather(*(line.greeted.wait() for line in lines))
            case "have":
                return {name: len(device.held) for name, device in self._devices.items()}
            case "tunnel":
                for device in self.some(order["share"]):
                    for line in device.lines:
                        line.drop()
            case "move":
                for device in self.some(order["share"]):
                    device.lines[0].move(random.uniform(0.0, MOST_LATE))
            case "deaf":
                self._devices[order["name"]].lines[0].turn_deaf()
            case "hear":
                self._devices[order["name"]].lines[0].hear()
            case "report":
                return {
                    name: {"held": device.held, "repeats": device.repeats, "wrong": device.wrong}
                    for name, device in self._devices.items()
                }
            case "leave":
                await asyncio.gather(*(device.leave() for device in self._devices.values()))
        return None


async def main() -> None:
    """Take the devices, then orders, until standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    told = json.loads(await reader.readline())
    random.seed(told["seed"])
    crowd = Crowd(told["urls"], told["devices"])
    while line := await reader.readline():
        print(json.dumps(await crowd.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
