"""What an image says of itself to a scheduler's adapter: unit names, users, paths."""

from collections.abc import Mapping
from dataclasses import dataclass

from campaign.core.errors import ImageError


@dataclass(frozen=True)
class ImageFacts:
    """The facts of one image, by the names under which adapters ask for them.

    They stand in the image's own description only: `[facts]` of a Debian image's specification, or
    `campaign.image.facts` of a NixOS module; a bundle's manifest repeats them. No adapter has a
    default for any of them.
    """

    image: str
    values: Mapping[str, str]

    def __contains__(self, name: str) -> bool:
        """Return whether the image says anything of `name`: it may have a part that others lack."""
        return name in self.values

    def __getitem__(self, name: str) -> str:
        """Return the fact `name`.

        Raise ImageError, which names the fact and the image, where it is missing.
        """
        try:
            return self.values[name]
        except KeyError:
            raise ImageError(
                f"image {self.image}: it lacks the fact {name!r}, which its scheduler needs",
                resolution=f"Add {name!r} to the facts of the image's description, and build the "
                "image again.",
            ) from None
