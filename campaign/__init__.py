"""What a campaign is, and how it is carried out: configuration, images, workloads, executor,
tracking and report."""
