# The project's commands as flake apps: an environment of the locked packages is made once, then Python runs from it.
# Images come from the flake, unless an argument says otherwise.
{
  lib,
  pkgs,
  source,
}:
let
  libraries = lib.makeLibraryPath [
    pkgs.stdenv.cc.cc.lib
    pkgs.zlib
  ];
  run =
    name: module:
    pkgs.writeShellScriptBin name ''
      set -euo pipefail
      lock=${source}/requirements.lock
      home="''${XDG_CACHE_HOME:-$HOME/.cache}/campaign/nix-$(${pkgs.coreutils}/bin/sha256sum "$lock" | ${pkgs.coreutils}/bin/cut -c1-16)"
      export PATH=${
        lib.makeBinPath [
          pkgs.erofs-utils
          pkgs.libvirt-campaign
          pkgs.openssh
          pkgs.qemu_kvm
          pkgs.util-linux
          pkgs.zstd
        ]
      }:$PATH
      export LD_LIBRARY_PATH=${libraries}''${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
      if ! test -e "$home/.ready"; then
        echo "setting up $home (once)" >&2
        ${pkgs.uv}/bin/uv venv --quiet --python ${pkgs.python313}/bin/python3 "$home"
        PKG_CONFIG_PATH=${pkgs.libvirt-campaign}/lib/pkgconfig PATH=${
          lib.makeBinPath [
            pkgs.gcc
            pkgs.pkg-config
          ]
        }:$PATH VIRTUAL_ENV="$home" \
          ${pkgs.uv}/bin/uv pip install --quiet --require-hashes --requirement "$lock"
        touch "$home/.ready"
      fi
      PYTHONPATH=${source} exec "$home/bin/python" -m ${module} image.builder=auto "$@"
    '';
  app = name: module: description: {
    type = "app";
    program = "${run name module}/bin/${name}";
    meta.description = description;
  };
in
{
  search =
    app "campaign-search" "campaign.search"
      "Searches over schedulers, settings and cluster sizes";
  doctor =
    app "campaign-doctor" "campaign doctor"
      "What this machine can do, and how to fix what it can't";
}
