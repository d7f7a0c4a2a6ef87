"""From YAML groups and overrides to a validated campaign, and back to YAML."""
