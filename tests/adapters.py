"""Adapters bound to the facts of their Debian images, for tests."""

from campaign.images.debian import builder
from schedulers.facts import ImageFacts
from schedulers.registry import adapter


def facts_of(scheduler, image: str | None = None) -> ImageFacts:
    """The facts of an image that an adapter names, by default of its first."""
    name = image or scheduler.image
    return ImageFacts(name, builder.spec(name).facts)


def images_of(scheduler) -> list[str]:
    """The images that an adapter names."""
    return list(dict.fromkeys((scheduler.image, *scheduler.images.values())))


def bound(name: str):
    """The adapter of that name, bound to the image that it names."""
    scheduler = adapter(name)
    return scheduler.for_image(facts_of(scheduler))
