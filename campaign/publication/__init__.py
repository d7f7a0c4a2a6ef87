"""A campaign as others get it: an RO-Crate with metadata, citation and checksums of all files."""
