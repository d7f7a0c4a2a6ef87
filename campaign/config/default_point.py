"""The one point that stands for a campaign where nothing is searched: its settings' defaults."""

from collections.abc import Mapping

from campaign.config.compose import Composed
from campaign.core.trials import Point
from campaign.schema.model import ClusterSettings
from campaign.schema.settings import Scalar
from search.space import NODES, PARAMS, Categorical, Dimension


def default_point(composed: Composed) -> Point:
    """Return a value for each searched setting.

    That is the setting's default where it is among what is searched, else the first choice or the
    lower bound.
    """
    defaults: Mapping[str, Scalar] = {
        NODES: ClusterSettings.model_fields["nodes"].default,
        **{
            f"{PARAMS}.{name}": row.default
            for name, row in composed.scheduler.Params.model_fields.items()
        },
    }
    return {
        path: _chosen(dimension, defaults[path])
        for path, dimension in composed.space.dimensions.items()
    }


def _chosen(dimension: Dimension, default: Scalar) -> Scalar:
    if isinstance(dimension, Categorical):
        return default if default in dimension.choices else dimension.choices[0]
    within = isinstance(default, int | float) and dimension.low <= default <= dimension.high
    return default if within else dimension.low
