"""What is raised where an adapter doesn't keep a promise."""


class Broken(AssertionError):
    """An adapter doesn't keep a promise."""


def require(kept: object, otherwise: str) -> None:
    """Raise Broken, which says `otherwise`, unless `kept` is true."""
    if not kept:
        raise Broken(otherwise)
