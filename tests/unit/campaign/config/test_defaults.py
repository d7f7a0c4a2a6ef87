"""The defaults that help and documents state are those that a campaign gets."""

import yaml

from campaign.cli.docs import settings_page
from campaign.config.compose import compose
from campaign.config.defaults import parameter_rows, setting_rows
from campaign.execution.same_campaign import flatten
from campaign.schema.settings import written
from schedulers import registry


def test_stated_defaults_are_those_of_the_composed_configuration():
    composed = flatten(compose([]).campaign.model_dump(mode="json"))
    free = ("hosts.", "objectives", "scheduler.params", "scheduler.arms", "search.constraints")
    differ = {
        row.path: (row.default, composed[row.path])
        for row in setting_rows()
        if row.path in composed
        and not row.path.startswith(free)
        and yaml.safe_load(row.default) != composed[row.path]
        and row.default != written(composed[row.path])
    }
    assert differ == {}


def test_defaults_that_the_files_set_are_stated():
    stated = {row.path: row.default for row in setting_rows()}
    assert stated["search.trials"] == "10"
    assert stated["cluster.nodes"] == "[2, 4]"
    assert stated["workload.jobs"] == "20"
    assert "| `search.trials` | [1 .. 1000000] | 10 |" in settings_page()


def test_parameters_that_a_group_searches_say_so():
    stated = {row.path: row.default for row in parameter_rows("slurm")}
    assert stated["bf_interval"].endswith("scheduler=slurm has {low: 1, high: 30, log: true}")
    assert all(list(parameter_rows(name)) for name in registry.names())
