"""Two trials side by side, as text, JSON and an HTML page."""
