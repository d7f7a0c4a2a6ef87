# The images: a NixOS configuration for each, made of modules with one purpose each.
{ nixpkgs, system }:
let
  inherit (nixpkgs) lib;

  # The Python that packs a bundle, and nothing else of the project: other changes leave recipes alone.
  builder = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../campaign/__init__.py
      ../campaign/core/__init__.py
      ../campaign/core/errors.py
      ../campaign/images/__init__.py
      ../campaign/images/bundles/__init__.py
      ../campaign/images/debian/__init__.py
      ../campaign/images/debian/cpio.py
      ../campaign/images/debian/erofs.py
      ../campaign/images/debian/guest/init
      ../campaign/images/debian/initramfs.py
      ../campaign/images/debian/kernel.py
      ../campaign/images/bundles/manifest.py
      ../campaign/images/pack.py
      ../campaign/images/bundles/tools.py
    ];
  };
in
lib.mapAttrs (
  _: role:
  lib.nixosSystem {
    specialArgs = { inherit builder; };
    modules = [
      ./modules/image.nix
      ./modules/boot.nix
      ./modules/node.nix
      ./modules/instruments.nix
      {
        nixpkgs.hostPlatform = system;
        nixpkgs.overlays = [ (import ./packages) ];
      }
    ]
    ++ role.modules;
  }
) (import ./roles.nix)
