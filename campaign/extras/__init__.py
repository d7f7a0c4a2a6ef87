"""Brings the third-party files of images from their publishers, by the checksums these state.

`table` has one row for each file, `download` brings what has an address, `registry` asks container
registries, `sums` is the folder's SHA256SUMS, and `bring` is all of that for one image.
"""
