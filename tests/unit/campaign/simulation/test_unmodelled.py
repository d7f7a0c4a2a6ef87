"""What a simulation leaves out is named, with how many jobs it touches."""

import pyarrow as pa
import pytest

from campaign.core.cluster import ClusterModel, Qos
from campaign.core.jobs import TRAITS_SCHEMA, Workload
from campaign.simulation.unmodelled import unmodelled
from tests.unit.campaign.simulation.reference import table

HOLDS = Qos("hold", flags=("no_reserve",))
TAKES = Qos("take", preempts=("hold",))


def said(traits: dict, *options: str, told: bool = True, model: ClusterModel | None = None) -> list:
    """What is said of four jobs with such traits."""
    columns = {
        name: pa.array(values, TRAITS_SCHEMA.field(name).type) for name, values in traits.items()
    }
    jobs = table([(0, 1, 1, 1)] * 4)
    obeyed = frozenset(traits) - {"think_s"} if told else frozenset()
    workload = Workload("w", jobs, traits=pa.table(columns), obeyed=obeyed)
    return list(unmodelled(workload, model or ClusterModel(), options))


def test_nothing_is_said_where_all_is_simulated() -> None:
    assert said({}) == said({"features": ["a", "a&b", None, "a|b"]}) == []


@pytest.mark.parametrize(
    ("constraints", "words"),
    [
        (["a*2", "a*1&b*3", "a", None], "numbers of nodes in constraints on features of 2 jobs"),
        (["[a|b]", "a|b", None, None], "alternatives that all nodes share in constraints"),
    ],
)
def test_parts_of_constraints_are_counted(constraints: list, words: str) -> None:
    (sentence,) = said({"features": constraints})
    assert sentence.startswith(words)


def test_what_no_scheduler_is_told_is_counted_too() -> None:
    assert said({"think_s": [5.0, None, 0.0, 7.0]}) == [
        "think time after the job before of 2 jobs: not replayed"
    ]
    untold = said({"features": ["a*2", None, None, None]}, told=False)
    assert untold == ["constraint on nodes of 1 job: not replayed"]


def test_options_touch_all_jobs_or_those_of_arrays() -> None:
    assert said({}, "max_rpc_cnt", "bf_max_job_array_resv") == [
        "max_rpc_cnt of 4 jobs: not simulated"
    ]
    of_arrays = said({"array": [1, 1, None, None]}, "bf_max_job_array_resv")
    assert of_arrays == ["bf_max_job_array_resv of 2 jobs: not simulated"]


def test_jobs_without_plans_are_counted_where_others_give_way() -> None:
    qos = {"qos": ["hold", "take", "hold", None]}
    assert said(qos, model=ClusterModel(qos=(HOLDS,))) == []
    (sentence,) = said(qos, model=ClusterModel(qos=(HOLDS, TAKES)))
    assert "of 2 jobs" in sentence
