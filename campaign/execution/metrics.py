"""What a running campaign tells Prometheus: an endpoint, a file for the node exporter, or both."""

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from actors.hypervisor.capacity import Resources
from campaign.config.compose import Composed
from campaign.core.errors import CampaignError, ConfigError
from campaign.core.files import user_path
from campaign.core.phases import TIMED, Phase
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Trial, TrialRecord
from campaign.execution.executor import Listener
from campaign.execution.progress import Progress
from campaign.records.history import Asked, History
from campaign.testbeds.preflight import fits

PREFIX = "hpc_campaign_"
ADDRESS = "127.0.0.1"
WRITTEN_EVERY_S = 5.0
"""The file is written no more often than this; Prometheus reads it every 15 s or so."""
OUTCOMES = ("ok", "invalid", "stalled", "scheduler_failed", "infrastructure_failed")
_log = logging.getLogger(__name__)


class CampaignMetrics(Collector):
    """Listens to the executor, and gives the present values to whoever asks, from any thread.

    Attempts and phases are counted since this driver began; trials are those of the whole campaign.
    `capacity` is what each host of this machine has. `written` is called after each change.
    """

    def __init__(
        self,
        about: Mapping[str, str],
        progress: Progress,
        history: History,
        *,
        instances: int = 1,
        capacity: Mapping[str, Resources] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._about = dict(about)
        self._progress = progress
        self._instances = instances
        self._capacity = capacity or {}
        self._clock = clock
        self._lock = threading.Lock()
        self._outcomes = {record.number: str(record.outcome) for record in history.final()}
        # All from 0: a counter that appears with a value has no rate until it grows once more.
        hosts = self._capacity
        self._attempts = Counter({(host, outcome): 0 for host in hosts for outcome in OUTCOMES})
        self._phases = {phase.value: 0.0 for phase in TIMED}
        self._running: dict[int, str] = {}
        self._speeds: dict[str, float] = {}
        self._judged = clock()
        self._alive = True
        self.written: Callable[[], None] = lambda: None

    def asked(self, trial: Asked) -> None:
        """Take note of nothing: what counts is started."""

    def started(self, trial: Trial) -> None:
        """Count the trial as running."""
        with self._lock:
            self._running[trial.number] = Phase.PLACED.value
        self.written()

    def running(self, statuses: Mapping[int, Status]) -> None:
        """Take note of the phases that trials are in."""
        with self._lock:
            self._running |= {number: one.phase.value for number, one in statuses.items()}
        self.written()

    def finished(self, record: TrialRecord, evaluation: Evaluation, *, settled: bool) -> None:
        """Count the attempt, its phases, and how fast virtual time passed in it."""
        with self._lock:
            self._running.pop(record.number, None)
            self._judged = self._clock()
            self._attempts[record.host, str(record.outcome)] += 1
            for phase, seconds in record.phases.items():
                self._phases[phase.value] = self._phases.get(phase.value, 0.0) + seconds
            virtual_s = record.provenance.virtual_s
            real_s = record.phases.get(Phase.WORKLOAD)
            if virtual_s and real_s:
                self._speeds[record.host] = virtual_s / real_s
            if self._instances == 1 and not record.instance:
                self._outcomes[record.number] = str(record.outcome)
        self.written()

    def concluded(self, record: TrialRecord) -> None:
        """Count the trial, where it has several replicates."""
        with self._lock:
            self._outcomes[record.number] = str(record.outcome)

    def end(self) -> None:
        """Take note that the driver ends."""
        with self._lock:
            self._alive = False
            self._running.clear()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, each with the campaign's name as a label."""
        with self._lock:
            yield from [*self._of_campaign(), *self._of_trials(), *self._of_hosts()]

    def _of_campaign(self) -> Iterator[Metric]:
        so_far = self._progress.so_far()
        info = self._gauge("info", "what the campaign is; always 1", "testbed", "scheduler")
        info.add_metric(self._labels(self._about["testbed"], self._about["scheduler"]), 1)
        yield info
        values = {
            "running": ("1 while the campaign's driver runs", float(self._alive)),
            "trials_wanted": ("trials that the campaign comes to", so_far["total"]),
            "trials_settled": ("trials that need no further attempt", so_far["done"]),
            "front_points": ("points on the front, equal ones once", so_far["front"]),
            "front_hypervolume": (
                "hypervolume of the front in the box between 0 and the baseline, as a share of it",
                so_far["hypervolume"],
            ),
            "left_seconds": ("time that the trials left will take", so_far["left_s"]),
            "last_judged_timestamp_seconds": ("when an attempt was judged last", self._judged),
        }
        for name, (text, value) in values.items():
            if value is not None:
                one = self._gauge(name, text)
                one.add_metric(self._labels(), value)
                yield one
        best = self._gauge("best", "best value of an objective on the front", "metric", "direction")
        for found in so_far["best"]:
            best.add_metric(self._labels(found["metric"], found["direction"]), found["value"])
        yield best

    def _of_trials(self) -> Iterator[Metric]:
        trials = self._gauge("trials", "trials by the outcome of their last attempt", "outcome")
        counts = Counter(self._outcomes.values())
        for outcome in dict.fromkeys((*OUTCOMES, *counts)):
            trials.add_metric(self._labels(outcome), counts[outcome])
        yield trials
        running = self._gauge("trials_running", "running trials by phase", "phase")
        now = Counter(self._running.values())
        for phase in Phase:
            running.add_metric(self._labels(phase.value), now[phase.value])
        yield running
        phases = self._counter("phase_seconds", "seconds that attempts spent in a phase", "phase")
        for name, seconds in self._phases.items():
            phases.add_metric(self._labels(name), seconds)
        yield phases

    def _of_hosts(self) -> Iterator[Metric]:
        attempts = self._counter("attempts", "attempts judged, by host", "host", "outcome")
        for (host, outcome), count in self._attempts.items():
            attempts.add_metric(self._labels(host, outcome), count)
        yield attempts
        speed = self._gauge(
            "virtual_time_ratio", "virtual seconds for each real one, in the last trial", "host"
        )
        for host, ratio in self._speeds.items():
            speed.add_metric(self._labels(host), ratio)
        yield speed
        memory = self._gauge("host_memory_bytes", "memory that clusters may have", "host")
        vcpus = self._gauge("host_vcpus", "vCPUs that clusters may have", "host")
        for host, there in self._capacity.items():
            memory.add_metric(self._labels(host), there.memory_mib * 2**20)
            vcpus.add_metric(self._labels(host), there.vcpus)
        yield from (memory, vcpus)

    def _labels(self, *values: str) -> list[str]:
        return [self._about["campaign"], *values]

    def _gauge(self, name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"{PREFIX}{name}", text, labels=["campaign", *labels])

    def _counter(self, name: str, text: str, *labels: str) -> CounterMetricFamily:
        return CounterMetricFamily(f"{PREFIX}{name}", text, labels=["campaign", *labels])


@contextlib.contextmanager
def exported(
    composed: Composed, progress: Progress, history: History
) -> Iterator[tuple[Listener, ...]]:
    """Yield the listeners that metrics need, while the settings want them; they are served inside.

    Raises ConfigError where the port or the file can't be had.
    """
    campaign = composed.campaign
    output = campaign.output
    if output.metrics_file is None and output.metrics_port is None:
        yield ()
        return
    about = {
        "campaign": campaign.name,
        "testbed": campaign.testbed.kind,
        "scheduler": ",".join(composed.schedulers),
    }
    known = CampaignMetrics(
        about,
        progress,
        history,
        instances=campaign.workload.instances,
        capacity=_capacity(composed),
    )
    registry = CollectorRegistry()
    registry.register(known)
    with contextlib.ExitStack() as stack:
        if output.metrics_file is not None:
            write = _writer(user_path(output.metrics_file), registry)
            known.written = write
            stack.callback(write, last=True)
        if output.metrics_port is not None:
            stack.callback(_served(output.metrics_port, registry))
        stack.callback(known.end)
        yield (known,)


def _capacity(composed: Composed) -> dict[str, Resources]:
    """Return what each host of this machine has; nothing of a simulation, which needs none."""
    campaign = composed.campaign
    if not campaign.testbed.on_machines:
        return {}
    try:
        return {one.host: one.total for one in fits(campaign, composed.space.node_counts()[1])}
    except CampaignError:  # the start has told of it
        return {}


def _served(port: int, registry: CollectorRegistry) -> Callable[[], None]:
    """Serve the metrics on loopback; return what ends that."""
    try:
        server, thread = start_http_server(port, addr=ADDRESS, registry=registry)
    except OSError as error:
        raise ConfigError(
            f"output.metrics_port = {port}: {error.strerror}",
            resolution="Use another port; each campaign that runs needs its own.",
        ) from error
    _log.info("metrics at http://%s:%d/metrics", ADDRESS, server.server_port)

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return close


def _writer(path: Path, registry: CollectorRegistry) -> Callable[..., None]:
    """Return what writes the metrics to `path`, whole or not at all; the first time is now."""
    written = 0.0

    def write(*, last: bool = False) -> None:
        nonlocal written
        now = time.monotonic()
        if not last and now - written < WRITTEN_EVERY_S:
            return
        written = now
        try:
            write_to_textfile(str(path), registry)
        except OSError as error:  # a campaign doesn't fail for want of its metrics
            _log.debug("%s can't be written: %s", path, error.strerror)

    if not path.parent.is_dir() or path.suffix != ".prom":
        raise ConfigError(
            f"output.metrics_file = {path}: the node exporter reads files NAME.prom in a folder "
            "that exists",
            resolution="Name such a file, in the folder of its textfile collector.",
        )
    write(last=True)
    return write
