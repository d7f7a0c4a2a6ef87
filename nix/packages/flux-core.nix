# Flux itself: brokers, commands, and schedulers of its own (flux-core).
{
  lib,
  stdenv,
  fetchurl,
  flux-security,
  hwloc,
  jansson,
  libarchive,
  libsodium,
  libuuid,
  lua5_1,
  lz4,
  ncurses,
  pkg-config,
  python3,
  sqlite,
  systemd,
  zeromq,
}:
let
  python = python3.withPackages (packages: [
    packages.cffi
    packages.packaging
    packages.ply
    packages.pyyaml
  ]);
  lua = lua5_1.withPackages (packages: [ packages.luaposix ]);
in
stdenv.mkDerivation (finalAttrs: {
  pname = "flux-core";
  version = "0.86.0";

  src = fetchurl {
    url = "https://github.com/flux-framework/flux-core/releases/download/v${finalAttrs.version}/flux-core-${finalAttrs.version}.tar.gz";
    sha256 = "0339f1c45af02a2c2ccafddc3d37da4bcf0318c7e6be50dd557ee4cb7b9421f5";
  };

  postPatch = "patchShebangs .";

  nativeBuildInputs = [
    lua
    pkg-config
    python
  ];
  buildInputs = [
    flux-security
    hwloc
    jansson
    libarchive
    libsodium
    libuuid
    lz4
    ncurses
    sqlite
    systemd
    zeromq
  ];

  # A node has what an instance reads in /etc, where Fluxion's part joins it (see modules/flux.nix).
  configureFlags = [
    "--sysconfdir=/etc"
    "--localstatedir=/var"
    "--with-flux-security"
    "--disable-docs"
  ];
  installFlags = [ "sysconfdir=${placeholder "out"}/etc" ];
  enableParallelBuilding = true;

  passthru = { inherit python; };

  meta = {
    description = "Resource manager of the Flux framework";
    homepage = "https://flux-framework.org";
    license = lib.licenses.lgpl3Only;
    platforms = lib.platforms.linux;
  };
})
