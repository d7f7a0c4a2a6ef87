"""A kernel's queues as `tc` shows and changes them: a link has a root, a class may have a leaf."""

from actors.hypervisor.errors import NetworkUnusable


class FakeTrafficControl:
    """Obeys `tc qdisc replace`, and refuses what a kernel would.

    `queues` has the kind and the options of each queue, by link and place ("root" or a class).
    `kinds` are those that the kernel has.
    """

    def __init__(self, *links, kinds=("htb", "sfq", "netem")):
        self.links = set(links)
        self.kinds = kinds
        self.queues = {}

    def shape(self, link):
        """Do what libvirt does to a tap with a rate."""
        self.queues[link, "root"] = ("htb", ())
        self.queues[link, "1:1"] = ("sfq", ())

    def __call__(self, name, *arguments, fix):
        words = [str(one) for one in arguments]
        assert (name, words[:3]) == ("tc", ["qdisc", "replace", "dev"])
        link, *rest = words[3:]
        if link not in self.links:
            raise NetworkUnusable(f'Cannot find device "{link}"', "", fix)
        place = "root" if rest.pop(0) == "root" else rest.pop(0)
        if rest[0] == "handle":
            rest = rest[2:]
        kind, *options = rest
        if kind not in self.kinds:
            raise NetworkUnusable("Error: Specified qdisc kind is unknown.", "", fix)
        if place != "root" and self.queues.get((link, "root"), ("",))[0] != "htb":
            raise NetworkUnusable("Error: Failed to find specified qdisc.", "", fix)
        if place == "root":
            # Whatever stood there goes with all that was below it.
            self.queues = {at: one for at, one in self.queues.items() if at[0] != link}
        self.queues[link, place] = (kind, tuple(options))
