"""Plugins that ansible-playbook loads by this folder's path; nothing else imports them."""
