"""Image bundles: what one consists of, the store that keeps them by hash, and how two differ."""
