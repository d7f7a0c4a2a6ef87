"""Pack a bundle in the same way for both builders: kernel, initramfs, root file system."""
