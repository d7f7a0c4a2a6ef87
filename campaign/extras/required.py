"""What an image still needs of a user, and the command that brings it where one can."""

from campaign.core.errors import ImageError
from campaign.extras.table import FILES
from campaign.images import builders
from campaign.images.builders import Builder
from campaign.images.debian.third_party import folder_of


def require(name: str, builder: Builder, *, extras: str | None = None) -> None:
    """Raise ImageError unless the third-party files that the image `name` needs are there.

    The error names the command that brings them, or the page that says how they are made.
    """
    try:
        builders.require(name, builder, extras=extras)
    except ImageError as error:
        raise ImageError(error.brief, error.details, _remedy(name, error, extras)) from None


def _remedy(name: str, error: ImageError, extras: str | None) -> str:
    if name not in FILES:
        return f"{error.resolution} (docs/schedulers.md has each command that builds it)"
    where = f" --extras {folder_of(extras)}" if extras else ""
    command = f"hpc-campaign image extras {name}{where}"
    return f"{command} brings them. Without a network: {error.resolution}"
