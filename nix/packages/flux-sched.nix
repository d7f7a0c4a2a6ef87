# Fluxion, the scheduler that an instance has in the place of its own (flux-sched).
{
  lib,
  stdenv,
  fetchFromGitHub,
  boost,
  cmake,
  flux-core,
  flux-security,
  hwloc,
  jansson,
  libedit,
  libuuid,
  pkg-config,
  yaml-cpp,
}:

stdenv.mkDerivation (finalAttrs: {
  pname = "flux-sched";
  version = "0.54.0";

  src = fetchFromGitHub {
    owner = "flux-framework";
    repo = "flux-sched";
    tag = "v${finalAttrs.version}";
    hash = "sha256-Sp9/lt3ZiF2GDyTBTZlEaWQFgrpkzIRVUY0t5Wxq2P8=";
  };

  postPatch = "patchShebangs .";

  nativeBuildInputs = [
    cmake
    flux-core.python
    pkg-config
  ];
  buildInputs = [
    boost
    flux-core
    flux-security
    hwloc
    jansson
    libedit
    libuuid
    yaml-cpp
  ];

  cmakeFlags = [
    "-DFLUX_SCHED_VER=${finalAttrs.version}" # else asked of git, which a build hasn't
    "-DCMAKE_INSTALL_LIBDIR=lib"
    "-DCMAKE_INSTALL_SYSCONFDIR=${placeholder "out"}/etc"
    "-DENABLE_DOCS=OFF"
  ];

  meta = {
    description = "Fluxion, the graph-based scheduler of the Flux framework";
    homepage = "https://flux-framework.org";
    license = lib.licenses.lgpl3Only;
    platforms = lib.platforms.linux;
  };
})
