"""The configuration's types: what a setting is, and the one tree of them that is a campaign."""
