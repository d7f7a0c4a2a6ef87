# The shell of `nix develop`: the system programs that the project and its tests call, without those of the Debian builder.
{
  lib,
  mkShell,
  stdenv,
  chromedriver,
  chromium,
  cpio,
  erofs-utils,
  git,
  gnumake,
  libvirt-campaign,
  libxml2,
  openssh,
  pkg-config,
  python313,
  qemu_kvm,
  util-linux,
  uv,
  zlib,
  zstd,
}:

mkShell {
  packages = [
    python313 # that of Debian 13
    uv
    gnumake
    git
    pkg-config

    qemu_kvm # for guests of the host's own architecture, by KVM or emulated
    util-linux # unshare
    openssh

    # What packs an image. Filling one takes the host's own tools: mmdebstrap is not in nixpkgs, and
    # Nix's apt and dpkg would hide those of a Debian host.
    erofs-utils
    zstd

    # What only the tests need.
    chromium
    chromedriver
    cpio
    libxml2 # xmllint
  ];

  # The daemon, and the headers that libvirt-python is compiled with: pkg-config finds a library
  # among the build inputs only.
  buildInputs = [ libvirt-campaign ];

  # Wheels expect these in the system's folders, where Nix's Python does not look.
  env.LD_LIBRARY_PATH = lib.makeLibraryPath [
    stdenv.cc.cc.lib
    zlib
  ];
}
