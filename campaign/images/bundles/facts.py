"""The facts of a bundle, as a scheduler's adapter is bound to them.

Apart from the manifest, which packs an image by itself, without any scheduler.
"""

from campaign.images.bundles.manifest import ImageManifest
from schedulers.facts import ImageFacts


def image_facts(manifest: ImageManifest) -> ImageFacts:
    """Return the facts of the image that the manifest describes."""
    return ImageFacts(manifest.name, manifest.facts)
