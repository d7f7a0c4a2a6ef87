# An overlay: what nixpkgs lacks, and what of it has to be built otherwise.
final: prev: {
  flux-security = final.callPackage ./flux-security.nix { };
  flux-core = final.callPackage ./flux-core.nix { };
  flux-sched = final.callPackage ./flux-sched.nix { };
  flux = final.callPackage ./flux.nix { };
  volcano = final.callPackage ./volcano.nix {
    pendingHashes = import ./pending-hashes.nix { inherit (final) lib; };
  };

  # Manual pages need pandoc, and so all of Haskell, in what Slurm is built from.
  rdma-core = (prev.rdma-core.override { pandoc = null; }).overrideAttrs (old: {
    outputs = prev.lib.remove "man" old.outputs;
    cmakeFlags = old.cmakeFlags ++ [ "-DNO_MAN_PAGES=1" ];
  });

  # This project drives QEMU only. Xen, and the lint of a script of libvirt's own, bring Haskell along too.
  libvirt-campaign = prev.libvirt.override {
    enableXen = false;
    writeShellApplication = script: final.writeShellApplication (script // { checkPhase = ""; });
  };

  # No node has a screen. The nodes of a dense cluster are daemons beside one another on one machine.
  slurm = (prev.slurm.override { enableX11 = false; }).overrideAttrs (old: {
    configureFlags = old.configureFlags ++ [ "--enable-multiple-slurmd" ];
  });
}
