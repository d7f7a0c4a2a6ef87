"""A site's own slurm.conf: read as slurmctld reads it, with a verdict on every line."""

import random
from pathlib import Path

import pytest

from campaign.core.errors import ConfigError
from schedulers.site_settings import SiteSettings
from schedulers.slurm.conf_file import read_conf
from schedulers.slurm.params import SlurmParams
from schedulers.slurm.site import read_site
from schedulers.slurm.site_change import changed_site

SITE = """\
# A cluster of a university.
ClusterName=Big
SlurmctldHost=ctl1
SlurmctldHost=ctl2(10.0.0.2)
SchedulerType=sched/backfill
SchedulerParameters=bf_window=10080,bf_max_job_user=100,\\
BF_continue=no,max_rpc_cnt=150,bf_foo=3,bf_interval=0,bf_window=7
PriorityMaxAge=7-0
PriorityMaxAge=14-0   # the one that counts
PriorityFavorSmall=NO
SelectType=select/cons_tres
SelectTypeParameters=cr_core_memory,CR_LLN
PreemptMode=REQUEUE
ReturnToService=1
Epilog="/etc/slurm/a b.sh" Prolog=/etc/slurm/c\\#1.sh
NodeName=DEFAULT RealMemory=190000 State=UNKNOWN
nodename=n[001-100] CPUs=48 Gres=gpu:a100:4
PartitionName=normal Nodes=n[001-100] Default=YES PriorityTier=2
"""


def written(folder: Path, text: str, name: str = "slurm.conf") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def verdicts(found: SiteSettings) -> dict[str, list[str]]:
    by_verdict: dict[str, list[str]] = {}
    for line in found.lines:
        by_verdict.setdefault(line.verdict, []).append(line.name)
    return by_verdict


def test_what_is_a_parameter_is_taken_and_every_other_line_has_a_verdict(tmp_path: Path) -> None:
    found = read_site(written(tmp_path, SITE))
    assert found.params == {
        "SchedulerType": "sched/backfill",
        "bf_window": 10080,
        "bf_max_job_user": 100,
        "bf_continue": True,  # a flag is on as soon as it stands there
        "max_rpc_cnt": 150,
        "PriorityMaxAge": 14 * 24 * 60,
        "PriorityFavorSmall": False,
        "SelectTypeParameters": "CR_Core_Memory,CR_LLN",
        "options.bf_foo": 3,  # Slurm ignores what it doesn't know, or another version knows it
    }
    SlurmParams.model_validate(found.params)
    told = verdicts(found)
    assert told["refused"] == ["bf_interval"]
    assert told["passed"] == ["bf_foo"]
    assert told["missing"] == ["PreemptMode", "Prolog", "NodeName", "nodename", "PartitionName"]
    assert told["fixed"] == ["ReturnToService"]
    assert told["same"] == ["SelectType"]
    assert told["other"] == [
        "ClusterName",
        "SlurmctldHost",
        "SlurmctldHost",
        "bf_window",
        "PriorityMaxAge",
        "Epilog",
    ]
    assert {line.why for line in found.lines if line.name == "ReturnToService"} == {"2 here"}


def test_harmless_lines_are_passed_on_and_of_others_it_is_said_why_not(tmp_path: Path) -> None:
    text = (
        "CompleteWait=32\nEnforcePartLimits=ANY\nCompleteWait=16\nPreemptExemptTime=0:10:00\n"
        "SchedulerParameters=made_up,bf_continue,Made_Up=2\n"
        "TopologyPlugin=topology/tree\nSlurmctldPort=6817\nMadeUpKey=1\nKillWait=9$\n"
        "PriorityFlags=FAIR_TREE\n"
    )
    found = read_site(written(tmp_path, text))
    assert found.params == {
        "lines.EnforcePartLimits": "ANY",
        "lines.CompleteWait": 16,
        "lines.PreemptExemptTime": "0:10:00",
        "options.made_up": True,
        "bf_continue": True,
        "PriorityFlags": "FAIR_TREE",
    }
    whys = {line.name: (line.verdict, line.why) for line in found.lines if line.line > 4}
    assert whys["Made_Up"] == ("other", "Slurm takes the first of its kind")
    assert whys["TopologyPlugin"] == ("missing", "nodes have no topology here")
    assert whys["SlurmctldPort"] == ("other", "ports")
    assert whys["MadeUpKey"] == ("refused", "Slurm 24.11 has no such line")
    assert whys["KillWait"][0] == "refused"


def test_shares_are_taken_and_what_is_enforced_is_said_to_be_missing(tmp_path: Path) -> None:
    text = (
        "PriorityWeightFairShare=7\nPriorityDecayHalfLife=14-0\nPriorityFlags=no_fair_tree\n"
        "AccountingStorageEnforce=associations,limits,qos,safe\n"
    )
    found = read_site(written(tmp_path, text))
    assert found.params == {
        "PriorityWeightFairshare": 7,
        "PriorityDecayHalfLife": 14 * 24 * 60,
        "PriorityFlags": "NO_FAIR_TREE",
    }
    # It is not the same in every trial: a cluster without accounts enforces nothing.
    assert verdicts(found)["missing"] == ["AccountingStorageEnforce"]


def test_values_are_read_with_their_places_quotes_and_escapes(tmp_path: Path) -> None:
    pairs = {pair.key: pair for pair in read_conf(written(tmp_path, SITE))}
    assert pairs["Epilog"].value == "/etc/slurm/a b.sh"
    assert pairs["Prolog"].value == "/etc/slurm/c#1.sh"
    assert (pairs["Prolog"].line, pairs["Prolog"].first, pairs["Epilog"].first) == (15, False, True)
    assert pairs["SchedulerParameters"].line == 6


def test_included_files_stand_in_their_place(tmp_path: Path) -> None:
    written(tmp_path, "PriorityWeightAge=7\n", "big-priority.conf")
    file = written(tmp_path, "ClusterName=Big\ninclude %c-priority.conf\nPriorityFavorSmall=YES\n")
    found = read_site(file)
    assert found.params == {"PriorityWeightAge": 7, "PriorityFavorSmall": True}
    assert [line.file.name for line in found.lines] == [
        "slurm.conf",
        "big-priority.conf",
        "slurm.conf",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SchedulerType sched/backfill\n", "line 1: not Key=value"),
        ("# fine\n\nPriorityWeightAge=\n", "line 3: not Key=value"),
        ("SchedulerParameters=defer,\\\n  bf_continue\n", "line 1: not Key=value: 'bf_continue'"),
        ("Include none.conf\n", "none.conf: No such file"),
        ("Include slurm.conf\n", "includes"),
        ("A\0B=1\n", "not a text file"),
    ],
)
def test_what_slurm_would_not_read_is_refused_by_its_place(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        read_site(written(tmp_path, text))


def test_mutated_files_are_read_or_refused_in_words(tmp_path: Path) -> None:
    draw = random.Random(20)
    read = 0
    for _ in range(2000):
        text = list(SITE)
        for _ in range(draw.randint(1, 8)):
            place = draw.randrange(len(text))
            text[place] = draw.choice(["", text[place] * 2, chr(draw.randrange(1, 300)), "\\\n"])
        try:
            found = read_site(written(tmp_path, "".join(text)))
        except ConfigError as error:
            assert str(tmp_path) in error.brief
            continue
        SlurmParams.model_validate(found.params)
        read += 1
    assert read > 500


def changed(file: Path, **params: object) -> str:
    found = changed_site(file, params)  # type: ignore[arg-type]
    for place, (before, after) in found.contents.items():
        assert before == place.read_text()
        place.write_text(after)
    site = read_site(file).params
    for name, value in params.items():
        assert site.get(name, SlurmParams.model_fields[name].default) == value
    return file.read_text()


def test_a_change_touches_the_lines_that_it_needs(tmp_path: Path) -> None:
    file = written(tmp_path, SITE)
    text = changed(file, PriorityMaxAge=60, bf_interval=24, bf_continue=False, PriorityWeightQOS=5)
    assert "PriorityMaxAge=0-01:00:00   # the one that counts\n" in text
    options = (
        "bf_window=10080,bf_max_job_user=100,max_rpc_cnt=150,bf_foo=3,bf_interval=24,bf_window=7"
    )
    assert f"SchedulerParameters={options}\n" in text
    assert text.endswith("PriorityTier=2\nPriorityWeightQOS=5\n")
    untouched = [line for line in SITE.splitlines() if "Priority" not in line and "F_" not in line]
    assert [line for line in untouched if line not in text.splitlines()] == [
        "SchedulerParameters=bf_window=10080,bf_max_job_user=100,\\"
    ]


def test_a_line_without_an_option_left_becomes_a_comment(tmp_path: Path) -> None:
    file = written(tmp_path, "SchedulerParameters=defer\nSchedulerType=sched/builtin\n")
    text = changed(file, defer=False, SchedulerType="sched/backfill")
    assert text == "# SchedulerParameters=defer\nSchedulerType=sched/backfill\n"


def test_what_stands_in_an_included_file_is_changed_there(tmp_path: Path) -> None:
    included = written(tmp_path, "PriorityWeightAge = 7\n", "priority.conf")
    file = written(tmp_path, "Include priority.conf\n")
    assert changed(file, PriorityWeightAge=9) == "Include priority.conf\n"
    assert included.read_text() == "PriorityWeightAge = 9\n"


def test_lines_and_options_that_were_passed_on_change_where_they_stand(tmp_path: Path) -> None:
    file = written(
        tmp_path, "SchedulerParameters=made_up=1,old\ncompletewait=32 # sic\nKillWait=9\n"
    )
    wanted = {
        "options.made_up": 2,
        "options.old": False,
        "options.new": True,
        "lines.CompleteWait": 0,
        "lines.KillWait": 9,
        "lines.EnforcePartLimits": "ALL",
    }
    found = changed_site(file, wanted)
    assert found.params["lines.CompleteWait"] == ("32", 0)
    assert found.params["lines.EnforcePartLimits"] == ("not there", "ALL")
    assert "lines.KillWait" not in found.params
    [(_, after)] = found.contents.values()
    assert after == (
        "SchedulerParameters=made_up=2,new\ncompletewait=0 # sic\nKillWait=9\n"
        "EnforcePartLimits=ALL\n"
    )
    file.write_text(after)
    assert not changed_site(file, wanted).params


def test_keys_of_partitions_change_in_their_lines(tmp_path: Path) -> None:
    text = (
        "PartitionName=DEFAULT LLN=NO GraceTime=9\nPartitionName=day Nodes=a GraceTime=60 # sic\n"
        "PartitionName=night Nodes=a # too\n"
    )
    file = written(tmp_path, text)
    wanted = {
        "partitions.day.GraceTime": 120,
        "partitions.night.GraceTime": 9,
        "partitions.night.LLN": True,
    }
    found = changed_site(file, wanted)
    assert list(found.params) == ["partitions.day.GraceTime", "partitions.night.LLN"]
    [(_, after)] = found.contents.values()
    assert after == (
        "PartitionName=DEFAULT LLN=NO GraceTime=9\nPartitionName=day Nodes=a GraceTime=120 # sic\n"
        "PartitionName=night LLN=YES Nodes=a # too\n"
    )
    file.write_text(after)
    assert not changed_site(file, wanted).params
    with pytest.raises(ConfigError, match="no line describes the partition"):
        changed_site(file, {"partitions.noon.LLN": True})


def test_continued_lines_that_change_leave_the_places_of_later_ones(tmp_path: Path) -> None:
    text = "PriorityWeightAge=\\\n7\nPriorityWeightQOS=\\\n8\nPriorityMaxAge=1-0\n"
    file = written(tmp_path, text)
    new = changed(file, PriorityWeightAge=9, PriorityWeightQOS=6, PriorityMaxAge=60)
    assert new == "PriorityWeightAge=9\nPriorityWeightQOS=6\nPriorityMaxAge=0-01:00:00\n"


def test_a_change_that_would_lose_a_line_of_the_sites_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "SchedulerParameters=defer,\\\nbf_interval=9 KillWait=60\n")
    with pytest.raises(ConfigError, match="says other things too"):
        changed_site(file, {"bf_interval": 24})


def test_nothing_changes_where_all_is_as_wanted(tmp_path: Path) -> None:
    found = changed_site(written(tmp_path, SITE), {"bf_window": 10080, "bf_interval": 30})
    assert not found.params
    assert not found.contents
