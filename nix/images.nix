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
      ../campaign/images/bundles/manifest.py
      ../campaign/images/bundles/tools.py
      ../campaign/images/debian/guest/init
      (lib.fileset.fileFilter (file: file.hasExt "py") ../campaign/images/packing)
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
