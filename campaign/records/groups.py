"""Groups of trials that may be compared, and the key that tells one group from another."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

from campaign.records.events import HeadEvent, InstanceEvent

WORKLOAD = "workload"
SOURCES = "sources"
_WORDS = {
    WORKLOAD: "the jobs that trials replay (hash)",
    SOURCES: "this software (hash of its sources)",
}
"""Parts of a key whose names say too little, in words."""


class Difference(NamedTuple):
    """A part of two keys that isn't the same: its name, and its value before and now."""

    part: str
    before: str
    now: str

    def __str__(self) -> str:
        return f"{in_words(self.part)}: was {self.before or '(none)'}, is {self.now or '(none)'}"


@dataclass(frozen=True)
class ComparableGroup:
    """Trials that may stand in one front: the same inputs shaped all of them.

    `number` counts from 0. `key` has the value of each input by the input's name: the hash of the
    workload's jobs, the digest of the software's sources, every parameter of the schedulers that no
    trial varies, the images, the kind of testbed. `complete` is false where an earlier version of
    this software began the group: its key lacks what that version did not record.
    `workload_sha256` is the hash of the kept workload; it is empty where none was kept. `instances`
    are the further workloads on which trials are evaluated.
    """

    number: int
    key: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True
    workload_sha256: str = ""
    instances: Mapping[int, InstanceEvent] = field(default_factory=dict)

    def with_instance(self, found: InstanceEvent) -> "ComparableGroup":
        """Return the group with one more instance."""
        return replace(self, instances={**self.instances, found.instance: found})

    def sha256_of(self, instance: int) -> str:
        """Return the hash of the kept workload of an instance; empty where none was kept."""
        if not instance:
            return self.workload_sha256
        found = self.instances.get(instance)
        return found.workload_sha256 if found else ""

    @classmethod
    def of_head(cls, head: HeadEvent) -> Self:
        """Return the group that the head of a ledger begins."""
        if head.key is not None:
            return cls(0, head.key, workload_sha256=head.workload_sha256)
        images = {image_part(name): found for name, found in head.images.items()}
        workload = {WORKLOAD: head.workload_hash} if head.workload_hash else {}
        return cls(0, {**workload, **images}, complete=False)


def differences(before: ComparableGroup, now: Mapping[str, str]) -> Iterator[Difference]:
    """Yield what differs between the key of the group `before` and the key `now`.

    A part that an earlier version did not record is left out: nobody knows whether it differs.
    """
    parts = {**before.key, **now} if before.complete else before.key
    for part in parts:
        known = before.key.get(part, "")
        if known != now.get(part, ""):
            yield Difference(part, known, now.get(part, ""))


def image_part(scheduler: str) -> str:
    """Return the name of the part of a key that is the image of this scheduler's nodes."""
    return f"images.{scheduler}"


def instance_part(instance: int) -> str:
    """Return the name of a part of a key that is the jobs of a further workload instance."""
    return f"the jobs of the workload instance {instance} (hash)"


def in_words(part: str) -> str:
    """Return the name of a part of a key as people read it."""
    return _WORDS.get(part, part)
