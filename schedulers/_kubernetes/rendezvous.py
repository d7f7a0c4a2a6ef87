"""Lets the pods of a job wait for each other; a program for the head node.

Each pod connects and says a line: the job's name and the number of its pods. All are answered once
so many are there. A pod that goes away before isn't waited for any more.
"""

import asyncio
import sys

waiting: dict[str, set[asyncio.StreamWriter]] = {}


async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one pod, from when it connects until it goes."""
    job, count = (await reader.readline()).decode().split()
    here = waiting.setdefault(job, set())
    here.add(writer)
    if len(here) == int(count):
        for pod in waiting.pop(job):
            pod.write(b"all are here\n")
    await reader.read()
    here.discard(writer)
    writer.close()


async def serve(address: str, port: int) -> None:
    """Serve until the task is cancelled."""
    async with await asyncio.start_server(meet, address, port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
