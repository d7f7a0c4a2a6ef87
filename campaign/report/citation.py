"""How to cite a campaign: a sentence that names what ran, and an entry for BibTeX."""

from dataclasses import dataclass

from campaign.report.facts import common
from campaign.report.result import CampaignResult

TITLE = "hpc-campaign: search over batch schedulers, their settings and cluster sizes"
AUTHORS = "the hpc-campaign authors"
_SHORT = 16
"""So many digits of a hash name what it is of."""


@dataclass(frozen=True)
class Citation:
    """A sentence for a text, and an entry for a bibliography."""

    sentence: str
    bibtex: str


def citation(result: CampaignResult) -> Citation:
    """Return how to cite a campaign and the software that ran it."""
    known = common(result.records)
    facts = result.facts
    version = known.get("software_version", "")
    source = known.get("source_digest", "")
    software = f"hpc-campaign{f' {version}' if version else ''}"
    parts = [f"campaign {facts.campaign} of {len(result.records)} trials"]
    named = {
        "configuration": facts.config_hash[:_SHORT],
        "workload": facts.workload.get("hash", "")[:_SHORT],
        "image": known.get("image_hash", ""),
        "source": source,
    }
    parts += [f"{name} {value}" for name, value in named.items() if value]
    fields = {
        "title": f"{{{TITLE}}}",
        "author": f"{{{AUTHORS}}}",
        "version": version,
        "note": "; ".join(parts),
    }
    inside = ",\n".join(f"  {key} = {{{_plain(text)}}}" for key, text in fields.items() if text)
    return Citation(f"{software}, {', '.join(parts)}.", f"@software{{hpc-campaign,\n{inside}\n}}")


def _plain(text: str) -> str:
    """Return text without what would end a field or escape from it."""
    return (
        text if text.startswith("{") else "".join(" " if one in "{}\\%#&$" else one for one in text)
    )
