"""Adapters bound to the facts of their Debian images, for tests."""

from campaign.images.debian import builder
from schedulers.facts import ImageFacts
from schedulers.registry import adapter


def facts_of(scheduler) -> ImageFacts:
    """The facts of the image that an adapter names."""
    return ImageFacts(scheduler.image, builder.spec(scheduler.image).facts)


def bound(name: str):
    """The adapter of that name, bound to the image that it names."""
    scheduler = adapter(name)
    return scheduler.for_image(facts_of(scheduler))
