"""Settings that name metrics: where such a name ends, and what is wrong with it."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from campaign.core.metric_names import EACH, MetricName, hook_of, is_hooks
from campaign.hooks.moments import meant_by, of_trials
from campaign.schema.model import Campaign
from campaign.schema.search import Bound
from search.space import Problem

_OBJECTIVES = "objectives."
_CONSTRAINTS = "search.constraints."


def parts_of(key: str) -> list[str]:
    """Return the parts of a setting's dotted name, of which a metric's name is one."""
    for prefix in (_OBJECTIVES, _CONSTRAINTS):
        if key.startswith(prefix) and ("[" in key or is_hooks(key.removeprefix(prefix))):
            name = key.removeprefix(prefix)
            above = prefix.removesuffix(".").split(".")
            metric, dot, last = name.rpartition(".")
            if prefix == _CONSTRAINTS and dot and last in Bound.model_fields:
                return [*above, metric, last]
            return [*above, name]
    return key.split(".")


def put(values: Any, key: str, value: Any) -> None:
    """Put a value in the place of the setting `key` in OmegaConf's `values`."""
    from omegaconf import OmegaConf, open_dict

    *above, last = parts_of(key)
    if "[" not in key and parts_of(key) == key.split("."):
        OmegaConf.update(values, key, value, merge=False, force_add=True)
        return
    with open_dict(values):
        for part in above:
            if not OmegaConf.is_dict(values.get(part)):
                values[part] = {}
            values = values[part]
        values[last] = value


def metric_problems(campaign: Campaign) -> Iterator[Problem]:
    """Yield what is wrong with the metrics that objectives, constraints and search.metrics name."""
    for name, path in campaign.named_metrics.items():
        if is_hooks(name):
            yield from _of_no_hook(campaign, name, path)
            continue
        why, allowed = _wrong(name)
        if not why and path.startswith(_OBJECTIVES) and MetricName.of(name).each:
            why = "an objective has one value"
            allowed = f"a class, or {MetricName.of(name).base}.worst[{MetricName.of(name).each}]"
        if why:
            yield Problem(path, name, allowed, why)


def _of_no_hook(campaign: Campaign, name: str, path: str) -> Iterator[Problem]:
    hook = campaign.hooks.get(hook_of(name))
    if hook is None:
        there = ", ".join(f"hook.{one}.NAME" for one in campaign.hooks) or "no metric of a hook"
        yield Problem(path, name, there, "no hook adds such a metric")
    elif not any(of_trials(one) for pattern in hook.on for one in meant_by(pattern)):
        why = f"the hook {hook_of(name)} is called at no moment of a trial, so it adds no metric"
        yield Problem(path, name, "a hook that is called at trial.after, for instance", why)


def _wrong(name: str) -> tuple[str, str]:
    """Return why no metric has this name, and what is allowed instead; empty texts if one has."""
    from campaign.analysis.metrics import METRICS
    from campaign.analysis.metrics.classes import field_problem

    try:
        parts = MetricName.of(name)
    except ValueError as error:
        return str(error), ""
    if parts.base not in METRICS:
        return "there is no such metric", f"one of {_some(parts.base, sorted(METRICS))}"
    if parts.fields and not METRICS[parts.base].of_class:
        able = [metric for metric, row in METRICS.items() if row.of_class]
        why = f"{parts.base} is of all jobs together, and has no value for a class of them"
        return why, f"one of {', '.join(able)}"
    if len(set(parts.fields)) < len(parts.fields):
        return "a field stands in it twice", ""
    if sum(one.text == EACH for one in parts.classes) > 1:
        return f"only one field may be {EACH}", ""
    classes = [(one.field, one.text) for one in parts.classes]
    classes += [(parts.worst, EACH)] if parts.worst else []
    problems = (field_problem(field, text) for field, text in classes)
    return next(filter(None, problems), ""), ""


def _some(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    rest = [one for one in known if one not in close]
    return ", ".join([*close, *rest])
