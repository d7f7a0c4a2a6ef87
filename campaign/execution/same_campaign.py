"""Whether settings are those of a campaign that was recorded: what a resume may change of them."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from campaign.config.compose import recorded
from campaign.config.effects import unused
from campaign.core.errors import LedgerError
from campaign.records.ledger import Ledger
from campaign.schema.model import Campaign
from campaign.schema.settings import rows, written

MAY_CHANGE = frozenset(
    {
        "bootstrap",
        "cluster.start",
        "hooks",
        "hosts",
        "image",
        "output",
        "search.arm_trials",
        "search.first",
        "search.give_up_after",
        "search.holdout",
        "search.patience",
        "search.rehearsals",
        "search.retries",
        "search.trials",
        "testbed.heartbeat_timeout_s",
        "testbed.host_failures",
        "testbed.parallel",
        "testbed.prefetch",
        "testbed.ray_address",
        "testbed.wait_for_quiet_s",
        "workload.path",
    }
)
"""Settings that a resume may change; any other makes another campaign.

A campaign keeps the images that it began with, whatever `image` says later. A trace may have moved:
its content counts (see `campaign.execution.start`).
"""


def check_same_campaign(campaign: Campaign, ledger: Ledger, folder: Path) -> None:
    """Raise LedgerError rather than mix two campaigns in one folder."""
    head = ledger.history.head
    if head is None:
        return
    changed = [
        f"{path}: {was!r} -> {value!r}"
        for path, was, value in changed_settings(head["config"], campaign, MAY_CHANGE)
    ]
    if changed:
        differ = "1 setting differs" if len(changed) == 1 else f"{len(changed)} settings differ"
        raise LedgerError(
            f"{folder} holds another campaign: {differ}",
            "\n".join(changed),
            "Use another name=, or put the settings back to resume that campaign.",
        )


def changed_settings(
    config: Mapping[str, Any], campaign: Campaign, free: Collection[str]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield what differs between recorded settings and those of `campaign`: path, before, now.

    Settings in `free`, and below them, may differ.
    """
    before = flatten(recorded(config))
    now = flatten(campaign.model_dump(mode="json"))
    # An earlier version took settings without an effect; they make no other campaign.
    ignored = {*free, *(one.path for one in unused(campaign))}
    for path in sorted(before.keys() | now.keys()):
        if (
            before.get(path) != now.get(path)
            and not any(path == k or path.startswith(f"{k}.") for k in ignored)
            and not (path not in before and _at_default(path, now[path]))
        ):
            yield path, before.get(path), now.get(path)


def _at_default(path: str, value: Any) -> bool:
    # An earlier version had no such setting: at its default, it changes no campaign.
    return any(row.path == path and row.default == written(value) for row in rows(Campaign))


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by dotted path."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
