"""Reports of a campaign: the HTML page, pictures, comparisons, and the front on a terminal."""
