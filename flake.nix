# The project as a Nix flake: the shell for working on it, and the formatter of its Nix files.
{
  description = "Finds, on real schedulers in throw-away virtual clusters, which scheduler and settings serve a workload best";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { nixpkgs, ... }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forEachSystem =
        build: nixpkgs.lib.genAttrs systems (system: build nixpkgs.legacyPackages.${system});
    in
    {
      devShells = forEachSystem (pkgs: {
        default = pkgs.callPackage ./nix/dev-shell.nix { };
      });

      formatter = forEachSystem (pkgs: pkgs.nixfmt-rs);
    };
}
