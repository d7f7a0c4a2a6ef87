# The project as a Nix flake: node images and their checks, the commands of the project, and the shell for working on it.
{
  description = "Finds, on real schedulers in throw-away virtual clusters, which scheduler and settings serve a workload best";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      forEachSystem = lib.genAttrs [
        "x86_64-linux"
        "aarch64-linux"
      ];
      pkgs = forEachSystem (
        system:
        import nixpkgs {
          inherit system;
          overlays = [ (import ./nix/packages) ];
        }
      );
      images = forEachSystem (system: import ./nix/images.nix { inherit nixpkgs system; });
      bundles = system: lib.mapAttrs (_: image: image.config.system.build.bundle) images.${system};
    in
    {
      packages = forEachSystem (
        system:
        lib.mapAttrs' (name: lib.nameValuePair "image-${name}") (bundles system)
        // {
          image-kubernetes = (bundles system).volcano; # the name by which both schedulers of Kubernetes ask for it
          inherit (pkgs.${system})
            flux
            flux-core
            flux-sched
            flux-security
            volcano
            ;
        }
      );

      nixosConfigurations = lib.concatMapAttrs (
        system: lib.mapAttrs' (name: lib.nameValuePair "${name}-${system}")
      ) images;

      lib = {
        # What each image would be, for the contract that images of all builders keep.
        guests = lib.mapAttrs (_: lib.mapAttrs (_: image: image.config.campaign.image.guest)) images;

        # The output path of each package, by its attribute: what nix/manifest.json has written down.
        recipes = lib.concatMapAttrs (
          system:
          lib.mapAttrs' (name: package: lib.nameValuePair "packages.${system}.${name}" package.outPath)
        ) self.packages;
      };

      devShells = forEachSystem (system: {
        default = pkgs.${system}.callPackage ./nix/dev-shell.nix { };
      });

      apps = forEachSystem (
        system:
        import ./nix/apps.nix {
          inherit lib;
          pkgs = pkgs.${system};
          source = self;
        }
      );

      checks = forEachSystem (
        system:
        import ./nix/checks.nix {
          inherit lib;
          pkgs = pkgs.${system};
          images = images.${system};
          source = self;
        }
      );

      formatter = forEachSystem (system: pkgs.${system}.nixfmt-rs);
    };
}
