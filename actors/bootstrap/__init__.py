"""From booted nodes to a running scheduler: SSH, and bootstrap plans applied by ourselves or by
Ansible."""
