"""How Sphinx builds the documents as a site: `make site`."""

project = "hpc-campaign"
author = "the hpc-campaign authors"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3  # headings of three levels can be linked to, as GitHub does it
html_theme = "furo"
html_title = "hpc-campaign"
