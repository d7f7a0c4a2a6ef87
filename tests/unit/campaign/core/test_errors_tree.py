"""The drawn tree of errors is the real one, and what an error knows crosses processes."""

import importlib
import pickle
import pkgutil
import re
from collections.abc import Iterator

from campaign.core import errors
from campaign.core.errors import CampaignError, CapacityError, SchedulerError, StallError

PACKAGES = ("campaign", "actors", "schedulers", "search")
LINE = re.compile(r"^    (?P<branch>[│├└─ ]*)(?P<name>\w+)(?P<star> \*)?  ?")


def drawn() -> Iterator[tuple[str, str, bool]]:
    """Each error in the docstring: its name, its parent's, and whether it is retryable."""
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = LINE.match(line)
        if not match or not (match["branch"] or match["name"] == "CampaignError"):
            continue
        depth = len(match["branch"]) // 4
        above = [*above[:depth], match["name"]]
        yield match["name"], above[depth - 1] if depth else "", bool(match["star"])


def real(error: type[CampaignError] = CampaignError) -> Iterator[tuple[str, str, bool]]:
    parent = error.__bases__[0].__name__ if error is not CampaignError else ""
    yield error.__name__, parent, error.retryable
    for below in error.__subclasses__():
        if below.__module__.partition(".")[0] in PACKAGES:
            yield from real(below)


def test_the_drawn_tree_is_the_real_one():
    for package in PACKAGES:
        root = importlib.import_module(package)
        for module in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    assert sorted(drawn()) == sorted(real())


def test_each_error_says_whether_another_attempt_helps_and_one_may_differ():
    assert CapacityError("full").retryable and not SchedulerError("refused").retryable
    own = CapacityError("never fits", retryable=False)
    assert not own.retryable and CapacityError("full").retryable
    assert not pickle.loads(pickle.dumps(own)).retryable
    assert StallError("x").outcome == "stalled" and SchedulerError("x").outcome != "stalled"
