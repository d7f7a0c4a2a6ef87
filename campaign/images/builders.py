"""Which builder makes an image: the project's Nix flake, or the Debian builder where Nix is not."""

from typing import Literal

from campaign.images import nix
from campaign.images.bundles.manifest import Bundle
from campaign.images.bundles.store import Store
from campaign.images.debian import builder as debian
from campaign.images.debian.third_party import folder_of, provided

Builder = Literal["debian", "nix", "auto"]
BUILDERS: tuple[Builder, ...] = ("debian", "nix", "auto")


def chosen(builder: Builder) -> Builder:
    """Return the builder that `builder` stands for: `auto` is `nix` where Nix is, else `debian`."""
    if builder != "auto":
        return builder
    return "nix" if nix.available() else "debian"


def require(name: str, builder: Builder, *, extras: str | None = None) -> None:
    """Raise ImageError unless the third-party files that the image `name` needs are there.

    The flake needs none of a user.
    """
    if chosen(builder) == "debian":
        provided(name, debian.spec(name).extras, folder_of(extras))


def build(
    name: str,
    *,
    builder: Builder,
    store: Store,
    extras: str | None = None,
    mirror: str | None = None,
    locked: bool = True,
    flake: str | None = None,
) -> Bundle:
    """Build the image `name`, put it into `store`, and return it; ImageError says why it can't be.

    `extras`, `mirror` and `locked` are for the Debian builder, `flake` is for Nix; each as its
    builder has it.
    """
    if chosen(builder) == "nix":
        return nix.build(name, store=store, flake=flake)
    return debian.build(
        name,
        store=store,
        third_party_folder=folder_of(extras),
        mirror=mirror,
        locked=locked,
    )
