"""The templates of the reports' pages: foreign text is escaped, and an unknown name is an error."""

from typing import TYPE_CHECKING, Any

from campaign.core.printable import printable

if TYPE_CHECKING:
    from jinja2 import Environment


def templates() -> "Environment":
    """Return the environment of the templates in this folder."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("campaign.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalized(value: Any) -> Any:
    """Return what a template writes: text made printable; markup is ours and stays."""
    return printable(value) if type(value) is str else value
