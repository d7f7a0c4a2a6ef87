"""The start of a campaign or of a resume: what shapes its trials is recorded, or compared."""

import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from campaign.core.cluster import model_parts
from campaign.core.errors import LedgerError
from campaign.core.files import user_path
from campaign.core.jobs import Workload
from campaign.core.version import source_digest
from campaign.records.groups import (
    SOURCES,
    WORKLOAD,
    ComparableGroup,
    Difference,
    differences,
    image_part,
    in_words,
    instance_part,
)
from campaign.records.history import History
from campaign.records.ledger import Ledger
from campaign.records.results import Results
from campaign.schema.model import Campaign
from campaign.schema.settings import Scalar
from campaign.testbeds import NodeImages

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """What a start of a campaign brings, for the first time or again.

    `key` names all that shapes a trial, images aside; `workloads` are the instances on which trials
    are evaluated; `arguments` are the words of the command
    line.
    """

    campaign: Campaign
    key: Mapping[str, str]
    workloads: Sequence[Workload]
    arguments: Sequence[str]

    @classmethod
    def of(
        cls,
        campaign: Campaign,
        parameters: Mapping[str, Scalar],
        workloads: Sequence[Workload],
        arguments: Sequence[str],
    ) -> Self:
        """Return the start of a campaign; `parameters` are as `key_of` takes them."""
        return cls(campaign, key_of(campaign, parameters, workloads[0]), workloads, arguments)


def standing(campaign: Campaign) -> Campaign:
    """Return `campaign` with the paths of its trace and its outputs in full.

    Relative ones are those of the present working directory, and mean nothing from another one.
    """
    output = campaign.output.model_copy(
        update={
            "results": _in_full(campaign.output.results),
            "mlruns": _in_full(campaign.output.mlruns),
        }
    )
    workload = campaign.workload
    if workload.path:
        workload = workload.model_copy(update={"path": _in_full(workload.path)})
    return campaign.model_copy(update={"output": output, "workload": workload})


def _in_full(path: str) -> str:
    return str(user_path(path).absolute())


def key_of(
    campaign: Campaign, parameters: Mapping[str, Scalar], workload: Workload
) -> dict[str, str]:
    """Return the key of what shapes a trial beside the point that is searched, images aside.

    `parameters` are all those of the schedulers that no trial varies, at their defaults or not.
    """
    return {
        WORKLOAD: workload.hash,
        SOURCES: source_digest(),
        "testbed": campaign.testbed.kind,
        **model_parts(campaign.cluster),
        **{path: str(value) for path, value in parameters.items()},
    }


def with_images(key: Mapping[str, str], images: Mapping[str, str]) -> dict[str, str]:
    """Return `key` with the hashes of the images of nodes, which are given by scheduler."""
    return {**key, **{image_part(name): found for name, found in images.items()}}


def starts_group(start: Start, history: History, results: Results, *, new_group: bool) -> bool:
    """Return whether the trials from now on are a group of their own.

    They are where the start's key differs from that of the ledger's newest group, and the user
    insists (`new_group`). Raises LedgerError where the key differs and the user doesn't.
    """
    if history.head is None:
        return False
    before = history.group
    now = with_images(start.key, history.images)  # a campaign keeps its images
    found = [*differences(before, now), *_other_instances(before, start.workloads)]
    if found and not new_group:
        raise LedgerError(
            f"{results.folder}: new trials could not be compared with those that are there",
            "\n".join(str(one) for one in found),
            "Put it back, or use another name= to begin anew. With --new-group the campaign goes "
            "on all the same: its trials from here on are a group with a front of its own.",
        )
    unknown = [] if before.complete else [in_words(part) for part in now if part not in before.key]
    if unknown and not found and not new_group:
        _log.warning(
            "an earlier version of this software began this campaign and did not record all that "
            "shapes its trials, so this can't be compared: %s; --new-group keeps what follows "
            "apart",
            ", ".join(unknown),
        )
    return new_group and bool(found or unknown)


def record_start(
    start: Start, images: NodeImages, ledger: Ledger, results: Results, *, own_group: bool
) -> None:
    """Put the start of the campaign, or its resume, into ledger and results folder.

    `own_group` makes a group of the trials from now on. Raises StorageError where the disk is full
    or can't be written.
    """
    known = {
        "config": start.campaign.model_dump(mode="json"),
        "arguments": list(start.arguments),
        "folder": str(Path.cwd()),
    }
    resumed = ledger.history.head is not None
    if resumed:
        ledger.append("resumed", **known)
        if not own_group:
            _record_instances(start, ledger, results)
            return
    hashes = {name: bundle.hash for name, bundle in images.bundles.items()}
    # Before the line that names it: a line in the ledger means that the file is on the disk.
    sha256 = results.keep_workload(start.workloads[0], len(ledger.history.groups))
    group = {"key": with_images(start.key, hashes), "workload_sha256": sha256}
    if resumed:
        ledger.append("group", **group)
    else:
        for bundle in images.bundles.values():
            results.keep_manifest(bundle)
        ledger.append(
            "campaign",
            id=secrets.token_hex(8),
            name=start.campaign.name,
            images=hashes,
            workload_hash=start.workloads[0].hash,
            **known,
            **group,
        )
    _record_instances(start, ledger, results)


def _record_instances(start: Start, ledger: Ledger, results: Results) -> None:
    """Put those instances into ledger and results folder that aren't there yet."""
    group = ledger.history.group
    for instance, workload in enumerate(start.workloads):
        if instance and instance not in group.instances:
            sha256 = results.keep_workload(workload, group.number, instance)
            ledger.append(
                "instance",
                instance=instance,
                workload_hash=workload.hash,
                workload_sha256=sha256,
            )


def _other_instances(
    before: ComparableGroup, workloads: Sequence[Workload]
) -> Iterator[Difference]:
    """Yield the instances whose jobs aren't those that the group's trials replayed."""
    for instance, workload in enumerate(workloads):
        known = before.instances.get(instance)
        if known and known.workload_hash != workload.hash:
            yield Difference(instance_part(instance), known.workload_hash, workload.hash)
