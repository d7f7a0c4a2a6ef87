"""Build image bundles from Debian packages of locked versions: reproducible, and without root."""
