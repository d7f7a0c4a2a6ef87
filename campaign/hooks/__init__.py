"""What others plug in around a campaign: when a hook is called, what it is told, what it may add.

Whoever writes a hook in Python needs `campaign.hooks.context` alone.
"""
