# How a node boots: kernel and initramfs by QEMU, then the shared root disk with a RAM overlay, then systemd.
{
  config,
  lib,
  ...
}:
let
  shared = lib.importTOML ../../campaign/images/debian/specs/_base.toml;
in
{
  campaign.image = {
    kernelCmdline = lib.mkBefore shared.kernel_cmdline;
    modules = shared.modules ++ [ "virtio_pci" ];
    memoryModules = shared.memory_modules;

    # Programs are where plans and pods look for them. By store paths, because a pod sees /usr and /nix, but not /run.
    links = {
      "sbin/init" = "${config.system.build.toplevel}/init";
      "bin" = "${config.system.path}/bin";
      "usr/bin" = "${config.system.path}/bin";
      "usr/sbin" = "${config.system.path}/bin";
      "usr/share" = "${config.system.path}/share";
    };
  };

  # So nothing makes /bin/sh and /usr/bin/env at each boot.
  system.activationScripts.binsh = lib.mkForce "";
  environment.usrbinenv = null;

  # The initramfs is that of campaign/images/packing/initramfs.py, the same for both builders: it mounts what is said here.
  boot.initrd.enable = false;
  boot.loader.grub.enable = false;
  fileSystems."/" = {
    device = "overlay";
    fsType = "overlay";
    options = [ "x-initrd.mount" ];
  };

  # No driver is loaded after the initramfs, no device waited for: udev's coldplug costs seconds under emulation.
  boot.kernelModules = lib.mkForce [ ];
  services.udev.enable = false;
  services.lvm.enable = false;
  boot.bcache.enable = false;
  boot.kexec.enable = false;

  # A panic stays on the serial console, and the node stands still.
  boot.kernelParams = lib.mkForce config.campaign.image.kernelCmdline;

  # The kernel's own messages and systemd's go to the first serial port; nobody logs in there.
  console.enable = false;
  systemd.services."serial-getty@".enable = false;
  systemd.services."getty@".enable = false;
  systemd.targets.getty.enable = false;
}
