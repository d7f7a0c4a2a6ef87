"""Settings of the image that nodes boot from."""

from typing import Literal

from campaign.schema.settings import NAME_PATTERN, Settings, setting


class ImageSettings(Settings):
    """The image bundle that nodes boot from."""

    name: str | None = setting(
        None, help="image specification (default: the scheduler's)", pattern=NAME_PATTERN
    )
    hash: str | None = setting(
        None, help="use exactly the bundle with this hash (or unique prefix)"
    )
    store: str = setting("$XDG_CACHE_HOME/campaign/images", help="folder of the image store")
    build: Literal["auto", "never"] = setting(
        "auto", help="auto: build the image when the store lacks it"
    )
    builder: Literal["debian", "nix", "auto"] = setting(
        "debian",
        help="what builds it: debian: mmdebstrap; nix: the flake; auto: nix where Nix is",
    )
    locked: bool = setting(
        True,
        help="refuse package versions that differ from the lock file; false: build another image, "
        "of what the mirror has",
    )
    extras: str | None = setting(
        None,
        help="folder of the third-party files that an image needs and no mirror has, with their "
        "SHA256SUMS (default: the environment variable CAMPAIGN_EXTRAS, else "
        "$XDG_DATA_HOME/campaign/extras)",
    )
    mirror: str | None = setting(
        None, help="package mirror (default: the one this machine's apt uses)"
    )

    def name_for(self, default: str) -> str:
        """Return the image's name for a scheduler whose own image is `default`."""
        return self.name or default
