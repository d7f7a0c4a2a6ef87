"""A composed campaign as YAML, as `--cfg` prints it and as it stands beside the results."""

from typing import Any

import yaml

from campaign.schema.model import Campaign


def campaign_yaml(campaign: Campaign) -> str:
    """Return every setting of `campaign` with its value, in the model's order.

    The text composes to the same campaign again.
    """
    values: dict[str, Any] = campaign.model_dump(mode="json", exclude_none=True)
    text: str = yaml.safe_dump(
        values, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120
    )
    return text
