"""Images and golden clusters on their way from one host to another, in verified chunks."""
