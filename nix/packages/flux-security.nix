# Signs what a user submits to an instance that belongs to somebody else (flux-security).
{
  lib,
  stdenv,
  fetchFromGitHub,
  autoconf,
  automake,
  jansson,
  libsodium,
  libtool,
  libuuid,
  munge,
  pam,
  pkg-config,
}:

stdenv.mkDerivation (finalAttrs: {
  pname = "flux-security";
  version = "0.15.0";

  src = fetchFromGitHub {
    owner = "flux-framework";
    repo = "flux-security";
    tag = "v${finalAttrs.version}";
    hash = "sha256-Gv4wc3B3i9IkAJizyQoAVzWX/jq0mSouCtSdjKgO/bc=";
  };

  # The version is asked of git, which a build hasn't.
  postPatch = ''
    sed -i "s/m4_esyscmd(\[git describe.*/[${finalAttrs.version}])/" configure.ac
    patchShebangs .
  '';
  preConfigure = "./autogen.sh";

  nativeBuildInputs = [
    autoconf
    automake
    libtool
    pkg-config
  ];
  buildInputs = [
    jansson
    libsodium
    libuuid
    munge
    pam
  ];

  configureFlags = [
    "--sysconfdir=/etc"
    "--localstatedir=/var"
    "--disable-docs"
  ];
  installFlags = [ "sysconfdir=${placeholder "out"}/etc" ];
  enableParallelBuilding = true;

  meta = {
    description = "Signs and runs jobs of several users for the Flux framework";
    homepage = "https://github.com/flux-framework/flux-security";
    license = lib.licenses.lgpl3Only;
    platforms = lib.platforms.linux;
  };
})
