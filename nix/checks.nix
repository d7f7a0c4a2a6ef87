# What `nix flake check` builds: a cluster of each scheduler that runs a job, the Python tests without VMs, the formatting.
{
  lib,
  pkgs,
  images,
  source,
}:
let
  clusters = lib.concatMapAttrs (
    name: role:
    lib.listToAttrs (
      map (
        scheduler:
        lib.nameValuePair "cluster-${role.check or scheduler}" (
          import ./tests/job-across-nodes.nix {
            inherit
              lib
              pkgs
              scheduler
              source
              ;
            inherit (role) modules;
            inherit (images.${name}.config.campaign.image) facts;
          }
        )
      ) role.schedulers
    )
  ) (import ./roles.nix);
in
clusters
// {
  python = import ./python-tests.nix { inherit pkgs source; };

  formatting = pkgs.runCommand "formatting" { nativeBuildInputs = [ pkgs.nixfmt-rs ]; } ''
    nixfmt --check ${source}/flake.nix $(find ${source}/nix -name '*.nix')
    touch $out
  '';
}
