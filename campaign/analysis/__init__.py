"""What trials say: metrics, the validity gate, what differs between schedulers, and two trials job
by job."""
