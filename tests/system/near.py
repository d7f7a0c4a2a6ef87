"""A host in the test's own process, as a cluster uses it."""

import asyncio

from actors.host import Host


class Near:
    """Passes every call on to `host` in a thread; `slots` are those that were given, the latest last."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.slots = []

    async def facts(self):
        return self.host.facts

    async def acquire(self, cluster, nodes, shape, expires, ahead=False):
        taken = self.host.acquire(cluster, nodes, shape, campaign="test", expires=expires, ahead=ahead)
        self.slots.append(taken)
        return taken

    def __getattr__(self, name):
        async def call(*arguments):
            return await asyncio.to_thread(getattr(self.host, name), *arguments)

        return call
