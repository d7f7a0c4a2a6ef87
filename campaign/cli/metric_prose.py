"""The sections of docs/metrics.md about classes of jobs and the share error."""

from collections.abc import Iterable

from campaign.analysis.metrics import METRICS
from campaign.analysis.metrics.classes import COUNTED_FIELDS, MEASURED_FIELDS, NAMED_FIELDS


def classes_text() -> str:
    """Return the section about metrics of classes of jobs, and constraints by the baseline."""
    able = _listed(name for name, metric in METRICS.items() if metric.of_class)
    return f"""
## Classes of jobs

These metrics are also of classes of jobs: {able}.

Such a name stands wherever a metric's does: in objectives, constraints, `search.metrics`, and hence
in the ledger, tables, report and comparisons. Unit and direction are the metric's.

| written | meaning |
| --- | --- |
| `wait_mean_s[partition=gpu]` | of the jobs of this partition |
| `wait_p95_s[qos=high,width=1-16]` | of the jobs that are of both classes |
| `bounded_slowdown_mean[width=>64]` | of the jobs wider than 64 slots |
| `wait_mean_s.worst[partition]` | the worst of all partitions' values; each must have one |
| `wait_mean_s[partition=*]` | a metric for each partition; in a constraint, each must keep to it |

Names are the fields {_listed(NAMED_FIELDS)}.
Whole numbers are {_listed(COUNTED_FIELDS)}: N, LOW-HIGH (both included), >N, >=N, <N, <=N; for `*`
and `worst` their classes are 1, 2, 3-4, 5-8 and so on. {_listed(MEASURED_FIELDS)} take ranges and
bounds alone. A job of which a field isn't known is in no class of it. A name that no metric has, or
a class that the workload lacks, is refused before the first trial.

`search.constraints.METRIC.max_x_baseline=1.2` is a limit of 1.2 times the value of the baseline
(trial 0); `min_x_baseline` is one from below. That no partition may wait 20 % longer than today:

```console
$ hpc-campaign search 'search.constraints.wait_mean_s[partition=*].max_x_baseline=1.2' \\
      'objectives={{"wait_p95_s[qos=high]": minimize, node_hours: minimize}}' ...
```

Where the baseline has no value, no trial keeps to such a limit; where its value is 0, only a trial
with 0 does. In MLflow, signs that it refuses in names are words: `wait_p95_s/width:over 64`.
"""


def shares_text() -> str:
    """Return the section about what the share error assumes."""
    return """
## Share error

`share_error` compares what accounts had with `cluster.accounts.NAME.shares`: the total variation
distance between what was had and what was owed. An account's share is against its siblings', and of
what its parent was promised; accounts with others below them have none of their own. It assumes:

- Shares hold while somebody waits: what is free without anybody waiting is nobody's. All of these
  moments count together, so an account may have its share later, as long as it has jobs then. Use
  doesn't decay, as it may for a scheduler.
- What is divided are the slots that jobs of these accounts hold, as if slots could be divided at
  will. Wide jobs alone cause an error.
- An account is owed no more than its running and waiting jobs ask for at that moment; a job that
  can't start yet (a dependency, a limit) asks as others do. What an account leaves goes to the
  others by their shares; accounts with 0 shares get what those leave.
- Jobs of other accounts, memory and GPUs count for nothing.
"""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
