"""The configuration's types: the declaration of a setting, and the tree of all settings."""
