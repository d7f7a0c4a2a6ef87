"""A machine's PCI functions, drivers and IOMMU groups as files below a folder, and its links."""

import platform
from pathlib import Path


class FakeSysfs:
    """Makes what the kernel would show below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._pci = root / "sys/bus/pci"
        (self._pci / "devices").mkdir(parents=True)
        self._kinds = {}

    def function(self, address, pci_class="030000", group=None, driver=None):
        """Plug a PCI function in."""
        folder = self._pci / "devices" / address
        folder.mkdir()
        (folder / "class").write_text(f"0x{pci_class}\n")
        if group is not None:
            members = self.root / f"sys/kernel/iommu_groups/{group}/devices"
            members.mkdir(parents=True, exist_ok=True)
            (members / address).symlink_to(folder)
            (folder / "iommu_group").symlink_to(members.parent)
        if driver:
            self.driver(driver)
            (folder / "driver").symlink_to(self._pci / "drivers" / driver)

    def unplug(self, address):
        """Take a PCI function out."""
        (self._pci / "devices" / address).rename(self.root / f"unplugged-{address}")

    def driver(self, name):
        """Load a driver."""
        (self._pci / "drivers" / name).mkdir(parents=True, exist_ok=True)

    def module(self, name):
        """Install a driver that isn't loaded."""
        folder = self.root / "lib/modules" / platform.release()
        folder.mkdir(parents=True)
        (folder / "modules.dep").write_text(f"kernel/drivers/vfio/pci/{name}.ko.xz: a.ko\n")

    def link(self, name, kind="dummy"):
        """Make a network link."""
        self._kinds[name] = kind

    def links(self, kind=""):
        """The links of a kind, or all."""
        return [name for name, own in self._kinds.items() if kind in ("", own)]
