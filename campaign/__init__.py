"""What a campaign is, and how it is carried out, from its configuration to its report."""
