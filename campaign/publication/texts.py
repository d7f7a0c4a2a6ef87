"""What stands beside a published campaign for people: how to cite it, and what is in its folder."""

from typing import Any

import yaml

from campaign.publication.checksums import SUMS
from campaign.publication.crate import METADATA, Publication

SOFTWARE_TITLE = "hpc-campaign: search over batch schedulers, their settings and cluster sizes"


def citation(publication: Publication) -> str:
    """Return CITATION.cff, by the Citation File Format 1.2.0."""
    licence = publication.licence
    stated: dict[str, Any] = {}
    if licence.spdx:
        stated["license"] = licence.spdx
    elif "://" in licence.id:
        stated["license-url"] = licence.id
    software = {
        "type": "software",
        "title": SOFTWARE_TITLE,
        "authors": [{"name": "the hpc-campaign authors"}],
        "version": publication.version,
        "notes": f"source digest {publication.digest}",
    }
    values = {
        "cff-version": "1.2.0",
        "message": "If you use these results, please cite them as below.",
        "type": "dataset",
        "title": publication.title,
        "abstract": publication.description,
        "authors": [
            {"name": one.name, **({"orcid": one.orcid} if one.orcid else {})}
            for one in publication.authors
        ],
        "date-released": publication.published,
        **({"doi": publication.doi} if publication.doi else {}),
        **stated,
        "references": [software],
    }
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    return text


def readme(publication: Publication) -> str:
    """Return README.md: what is here, and how to check it and run it again."""
    return f"""# {publication.title}

{publication.description}

This folder is an RO-Crate 1.1: `{METADATA}` says of each file what it is. `CITATION.cff` says how
to cite it. Licence: {publication.licence.name}.

- `report.html` is the report; begin there.
- `campaign.yaml` has every setting, `workload*.parquet` the jobs that trials replayed.
- `ledger.jsonl` is the record of all trials, `jobs/` has every job of every trial, `trials/` their
  rendered configuration and logs, `images/` the manifests of what nodes booted.

Check that no byte has changed, without any of our software:

    sha256sum --quiet -c {SUMS}

Check that too, and derive every figure again from ledger and jobs; then run the trials again:

    hpc-campaign verify FOLDER
    hpc-campaign rerun FOLDER

It was made by hpc-campaign {publication.version} (source digest {publication.digest}).
"""
