"""The baselines of ten sites: what slurmctld and sacctmgr get of them is what Slurm 24.11 takes.

How each of the ten was started for real: docs/schedulers.md.
"""

from collections.abc import Iterator
from fractions import Fraction

import pytest

from actors.clusters.identity import configured_topology
from campaign.config.compose import Composed, compose
from campaign.config.site_file import group_file, read_site_cluster, read_site_file
from campaign.images.debian import builder
from schedulers.base import BootstrapPlan, Topology
from schedulers.facts import ImageFacts
from schedulers.slurm.associations import UNASKED
from schedulers.slurm.conf_file import ConfPair, read_conf
from schedulers.slurm.site_lines import KNOWN
from tests.unit.schedulers.test_slurm_site_cluster import NAMES, SITES, files_of

MANY = 12
PARTITION = frozenset(
    """
    partitionname nodes default maxtime defaulttime maxnodes minnodes prioritytier qos rootonly
    priorityjobfactor allowaccounts allowqos oversubscribe preemptmode hidden state
    defmempercpu exclusiveuser gracetime lln
    """.split()  # noqa: SIM905 - a list would take a line for each
)
"""What a partition's line may say."""


@pytest.fixture(params=NAMES)
def site(request, tmp_path) -> Composed:
    """A site's campaign, as it is imported with its cluster: trial 0 is its baseline."""
    folder = SITES / request.param
    conf = folder / "slurm.conf"
    share = Fraction(1, MANY) if request.param != "tiny" else None
    cluster = read_site_cluster(files_of(folder), share=share)
    file = tmp_path / "site/scheduler/ours.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(group_file(read_site_file(conf), conf, cluster))
    return compose(["scheduler=ours", "testbed=virtual-time"], tmp_path / "site")


def planned(site: Composed) -> tuple[Topology, BootstrapPlan]:
    point = site.baseline.point
    slurm = site.scheduler
    topology = configured_topology(site.space.nodes(point), site.campaign.cluster, slurm)
    image = site.image_name(slurm)
    bound = slurm.for_image(ImageFacts(image, builder.spec(image).facts))
    params = slurm.Params(**site.space.params(point))
    return topology, bound.plan(topology, params, slurm.make_secrets()).by_guest(topology)


def lines_of(pairs: list[ConfPair]) -> Iterator[dict[str, str]]:
    line: dict[str, str] = {}
    for pair in pairs:
        if pair.first and line:
            yield line
            line = {}
        assert pair.key.lower() not in line, pair
        line[pair.key.lower()] = pair.value
    yield line


def test_the_controller_gets_a_file_that_slurm_takes(site, tmp_path) -> None:
    topology, plan = planned(site)
    conf = next(file for _, file in plan.files() if file.path.endswith("/slurm.conf"))
    file = tmp_path / "slurm.conf"
    file.write_bytes(conf.content)
    lines = list(lines_of(read_conf(file)))
    firsts = [next(iter(line)) for line in lines]
    once = [key for key in firsts if key not in ("nodename", "partitionname")]
    assert len(set(once)) == len(once)
    assert set(once) <= KNOWN
    nodes = {line["nodename"] for line in lines if "nodename" in line}
    assert nodes == {node.name for node in topology.compute}
    partitions = [line for line in lines if "partitionname" in line]
    for line in partitions:
        assert set(line) <= PARTITION
        assert set(line["nodes"].split(",")) <= nodes
        assert int(line.get("minnodes", 1)) <= int(line.get("maxnodes", len(nodes)))
    assert [line.get("default") for line in partitions].count("YES") == 1
    values = {first: line[first] for first, line in zip(firsts, lines, strict=True)}
    assert "CR_C" in values["selecttypeparameters"] or "CR_S" in values["selecttypeparameters"]


def test_whom_partitions_name_slurmdbd_knows_before_the_controller_starts(site) -> None:
    topology, plan = planned(site)
    names = [stage.name for stage in plan.stages]
    told = [file.content.decode() for _, file in plan.files() if "associations" in file.path]
    known = {tuple(line.split()[1:3]) for text in told for line in text.splitlines()}
    assert not told or names.index("accounts") < names.index("controller")
    for partition in topology.model.partitions:
        for name in (*partition.allow_qos, *([partition.qos] if partition.qos else [])):
            assert ("qos", name) in known or name == UNASKED
        for name in partition.allow_accounts:
            assert ("account", name) in known
    assert not any("gres/gpu" in text for text in told)
