"""Provenance: typed for its writers; in ledgers the mapping of texts that it always was."""

import json
import pickle
from dataclasses import replace

import pytest
from pydantic import ValidationError

from campaign.core.provenance import Group, Provenance, headline, label_of, names_of
from campaign.core.trials import TrialRecord

OLD = {
    "scheduler": "slurm",
    "image_hash": "9f2c",
    "head_used_mib": "93",
    "node_used_mib": "",
    "start": "golden",
    "a_fact_of_yesterday": "kept",
}
RECORD = {"number": 0, "point": {}, "attempt": 1, "outcome": "ok"}


def test_an_old_ledger_is_read_and_what_is_unknown_is_kept_aside():
    found = TrialRecord.model_validate({**RECORD, "provenance": OLD}).provenance
    assert (found.scheduler, found.head_used_mib, found.node_used_mib) == ("slurm", 93, None)
    assert found.other == {"a_fact_of_yesterday": "kept"}
    assert found.libvirt == ""


def test_a_record_is_written_as_texts_without_what_is_unknown_and_comes_back_the_same():
    provenance = Provenance(scheduler="flux", head_used_mib=0, other={"x": "y"})
    record = TrialRecord(**RECORD, provenance=provenance)
    line = record.model_dump(mode="json")
    assert line["provenance"] == {"scheduler": "flux", "head_used_mib": "0", "x": "y"}
    assert TrialRecord.model_validate(json.loads(json.dumps(line))) == record


@pytest.mark.parametrize("spoilt", ["text", {"head_used_mib": "much"}])
def test_what_is_no_provenance_is_refused(spoilt):
    with pytest.raises(ValidationError):
        TrialRecord.model_validate({**RECORD, "provenance": spoilt})


def test_phases_of_another_version_are_left_out():
    record = TrialRecord.model_validate({**RECORD, "phases": {"ready": 2.0, "pondered": 1.0}})
    assert record.phases == {"ready": 2.0}


def test_it_crosses_processes():
    one = Provenance(scheduler="slurm", host_timer_us=80, other={"x": "y"})
    assert pickle.loads(pickle.dumps(one)) == one


def test_a_misspelt_fact_is_refused():
    with pytest.raises(TypeError):
        replace(Provenance(), guest_kernal="6.12")


def test_groups_headline_and_labels_come_from_the_fields():
    assert names_of(Group.HOST_SPEED) == ("host_hash_mib_s", "host_copy_mib_s", "host_timer_us")
    assert {"scheduler_version", "software_version", "git_commit"} <= set(names_of(Group.RECORDED))
    assert headline()["image_hash"] == "image"
    assert label_of("host_hash_mib_s") == "SHA-256 on one core, MiB/s"
    assert label_of("head_used_mib", "median").endswith("before the workload (median, MiB)")
