"""One package per batch scheduler, and nothing else in the project knows a scheduler by name."""
