"""Stand-ins that behave: small programs and objects that keep the promises of the real ones."""
