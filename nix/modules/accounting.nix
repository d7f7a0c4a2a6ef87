# What an image of Slurm's has more for accounts: slurmdbd, and the MariaDB that the bootstrap starts for it.
{ lib, pkgs, ... }:
let
  shared = lib.importTOML ../../campaign/images/debian/specs/slurm-accounting.toml;
  slurm = pkgs.slurm;
  mariadb = pkgs.mariadb_118; # the release that Debian has
in
{
  campaign.image = {
    name = lib.mkForce "slurm-accounting";
    facts = shared.facts // {
      "mariadb.program" = "${mariadb}/bin/mariadbd";
      "mariadb.share" = "${mariadb}/share/mysql";
    };
    programs = {
      mariadbd = "${mariadb}/bin/mariadbd";
      sacctmgr = "${slurm}/bin/sacctmgr";
      slurmdbd = "${slurm}/bin/slurmdbd";
      sshare = "${slurm}/bin/sshare";
    };
    daemons = [ "slurmdbd.service" ];
  };

  systemd.services.slurmdbd = {
    description = "Slurm's accounts";
    after = [ "munged.service" ];
    serviceConfig = {
      User = "slurm";
      Group = "slurm";
      ExecStart = "${slurm}/bin/slurmdbd -D -s";
      ExecReload = "${pkgs.coreutils}/bin/kill -HUP $MAINPID";
      RuntimeDirectory = "slurmdbd";
      LimitNOFILE = 65536;
      TasksMax = "infinity";
    };
  };
}
