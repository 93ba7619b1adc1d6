"""Follows an object over one socket of PyPI's websockets, and prints each version; ends at the last one.

It does not connect again: where the socket closes before, it fails.
"""

import asyncio
import json
import sys

import websockets


async def main(url: str, last: int) -> None:
    async with websockets.connect(url) as socket:
        async for text in socket:
            frame = json.loads(text)
            if frame["type"] == "init":
                print("init", frame["version"], flush=True)
            elif frame["type"] == "update":
                print(frame["version"], flush=True)
            else:
                raise ValueError(f"unexpected: {text}")
            if frame["version"] >= last:
                return
    raise ConnectionError("the socket was closed")


asyncio.run(asyncio.wait_for(main(sys.argv[1], int(sys.argv[2])), 50))
