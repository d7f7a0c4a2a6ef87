# Flux with Fluxion, and the user that owns the instance. The bootstrap brings the broker's unit.
{ lib, pkgs, ... }:
let
  shared = lib.importTOML ../../campaign/images/debian/specs/flux.toml;
in
{
  campaign.image = {
    name = "flux";
    kernelCmdline = shared.kernel_cmdline;
    facts = shared.facts;
    programs.flux = "${pkgs.flux}/bin/flux";
  };

  # What brokers read when they start; beside it, the bootstrap writes /etc/flux/system.
  environment.etc = lib.genAttrs' [
    "modprobe"
    "rc1.d"
    "rc3.d"
    "security"
    "shell"
  ] (name: lib.nameValuePair "flux/${name}" { source = "${pkgs.flux}/etc/flux/${name}"; });

  users.users.flux = {
    isSystemUser = true;
    uid = shared.users.flux; # the same on every node
    group = "flux";
    home = "/var/lib/flux";
    shell = pkgs.bashInteractive;
  };
  users.groups.flux.gid = shared.users.flux;

  systemd.tmpfiles.rules = [
    "d /etc/flux/system/conf.d 0755 root root -"
    "d /var/lib/flux 0755 flux flux -"
  ];
}
