"""The workload that words of a command line name: a trace file, or a campaign's settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from campaign.config.compose import Composed, compose
from campaign.core.errors import ConfigError
from campaign.core.files import user_path
from campaign.core.jobs import Workload
from campaign.schema.workload import TRACES

SETTINGS_USAGE = "settings as for a search (workload=lublin workload.jobs=500 cluster.nodes=8)"
FILE_USAGE = "a trace file (all its jobs, on its own machine; workload settings may follow)"


@dataclass(frozen=True)
class NamedWorkload:
    """A workload, the slots of the machine that it is for, and its source in words."""

    workload: Workload
    slots: int
    source: str


def find_workload(words: Sequence[str], *, generated: bool = False) -> NamedWorkload:
    """Return the workload that a trace file or settings among `words` name.

    If it is to be `generated`, a trace is a ConfigError. So are two files, a file that isn't
    there, and settings that have no meaning beside a file. WorkloadError for a file that can't be
    read.
    """
    files = [word for word in words if "=" not in word or Path(word).is_file()]
    if len(files) > 1:
        raise ConfigError(
            f"{' '.join(files)}: one trace file at a time",
            resolution="Give one file, then settings.",
        )
    if not files:
        composed = compose(words)
        if generated:
            _refuse_trace(composed.campaign.workload.kind)
        return _of_campaign(composed)
    from campaign.workloads.kinds import kind_of

    file = user_path(files[0])
    kind = kind_of(file)
    if generated:
        _refuse_trace(kind)
    return _on_its_machine(file, kind, [word for word in words if word not in files])


def _refuse_trace(kind: str) -> None:
    if kind in TRACES:
        raise ConfigError(
            f"workload.kind = {kind}: a trace is read, not generated",
            resolution="Use `hpc-campaign workload convert` for traces, or choose a model: "
            "workload=lublin.",
        )


def _of_campaign(composed: Composed) -> NamedWorkload:
    """Return a campaign's jobs, for its smallest cluster: every trial of it replays them."""
    from campaign.workloads import load

    settings = composed.campaign.workload
    slots = composed.smallest_slots
    origin = settings.path if settings.kind in TRACES else f"seed {settings.seed}"
    source = f"{settings.kind}, {origin}, for the campaign's smallest cluster"
    return NamedWorkload(load(settings, slots=slots), slots, source)


def _on_its_machine(file: Path, kind: str, overrides: Sequence[str]) -> NamedWorkload:
    """Return all jobs of a trace, unless `overrides` choose, on the machine that they ran on."""
    if not file.exists():
        raise ConfigError(
            f"there is no file {file}", resolution=f"Give {FILE_USAGE}, or {SETTINGS_USAGE}."
        )
    for word in overrides:
        if not word.startswith("workload.") or word.startswith(
            ("workload.path=", "workload.kind=")
        ):
            raise ConfigError(
                f"{word}: beside a file, only workload settings have a meaning, and neither its "
                "path nor its kind",
                resolution=f"For a cluster of yours, use workload={kind} workload.path={file} "
                f"{word}.",
            )
    from campaign.workloads import read_trace
    from campaign.workloads.transform import transform

    settings = compose(
        [f"workload={kind}", "workload.path=''", *overrides],
        used_elsewhere=("workload.machine",),
    ).campaign.workload
    trace = read_trace(settings.model_copy(update={"path": str(file)}))
    slots = settings.machine or trace.machine_slots or max(trace.table.column("width").to_pylist())
    source = f"{kind}, {file}, on its own machine"
    return NamedWorkload(transform(trace, settings, slots=slots), slots, source)
