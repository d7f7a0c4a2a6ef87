"""A hook in Python: keeps what each trial left in an archive, and checks that it left something.

Installed, it is the entry point `copy_traces` of the group `hpc_campaign.hooks`.
"""

import os
import shutil
from pathlib import Path

from campaign.core.trials import Check
from campaign.hooks.context import HookAnswer, HookContext


def copy_traces(context: HookContext) -> HookAnswer | None:
    """Copy a trial's files to $ARCHIVE; call it at trial.after and trial.failure."""
    if context.trial is None:
        return None
    name = f"{context.campaign}-{context.trial.number}-{context.trial.attempt}"
    target = Path(os.environ["ARCHIVE"], name)
    shutil.copytree(context.trial.files, target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    enough = Check(name="trace", value=size, limit=1, unit="bytes", ok=size >= 1)
    return HookAnswer(metrics={"trace_bytes": size}, checks=(enough,))
