"""From booted nodes to a running scheduler: SSH, and plans applied by us or by Ansible."""
