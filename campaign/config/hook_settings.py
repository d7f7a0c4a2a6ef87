"""What is wrong with the moments at which hooks are to be called."""

import difflib
from collections.abc import Iterator

from campaign.hooks.moments import MOMENTS, meant_by
from campaign.schema.model import Campaign
from search.space import Problem


def hook_problems(campaign: Campaign) -> Iterator[Problem]:
    """Yield the moments of hooks that no campaign ever comes to."""
    for name, hook in campaign.hooks.items():
        for pattern in hook.on:
            if not meant_by(pattern):
                close = difflib.get_close_matches(pattern, MOMENTS, n=3) or MOMENTS[:3]
                allowed = f"{', '.join(close)}, ..; docs/hooks.md has all"
                yield Problem(f"hooks.{name}.on", pattern, allowed, "there is no such moment")
