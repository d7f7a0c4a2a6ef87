"""The actor of one libvirt host: its connection, the image, its capacity, and the slots that live clusters occupy."""
