# Slurm with munge: the units, users and folders that the Debian image has too.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  shared = lib.importTOML ../../campaign/images/debian/specs/slurm.toml;
  slurm = pkgs.slurm;
  daemon = name: "${slurm}/bin/${name}";
in
{
  campaign.image = {
    name = "slurm";
    kernelCmdline = shared.kernel_cmdline;
    facts = shared.facts // {
      "munge.key" = config.services.munge.password;
      "unit.munge" = "munged.service";
    };
    programs =
      lib.genAttrs [
        "sacct"
        "sbatch"
        "scancel"
        "scontrol"
        "sdiag"
        "sinfo"
        "slurmctld"
        "slurmd"
        "squeue"
        "srun"
      ] daemon
      // {
        munge = "${pkgs.munge}/bin/munge";
      };
    daemons = [
      "munged.service"
      "slurmctld.service"
      "slurmd.service"
    ];
  };

  services.munge.enable = true;

  users.users.slurm = {
    isSystemUser = true;
    uid = config.ids.uids.slurm;
    group = "slurm";
    home = "/var/lib/slurm";
  };
  users.groups.slurm.gid = config.ids.uids.slurm;

  systemd.tmpfiles.rules = [
    "d /etc/munge 0700 munge munge -"
    "d /etc/slurm 0755 root root -"
    "d /etc/default 0755 root root -"
    "d /var/lib/slurm 0755 slurm slurm -"
    "d /var/lib/slurm/slurmctld 0755 slurm slurm -"
    "d /var/lib/slurm/slurmd 0755 root root -"
    "d /var/log/slurm 0755 slurm slurm -"
  ];

  # nixpkgs' own module writes slurm.conf into the store; here the bootstrap writes it on the node.
  systemd.services.slurmctld = {
    description = "Slurm's controller";
    after = [ "munged.service" ];
    path = [ slurm ];
    serviceConfig = {
      Type = "notify";
      User = "slurm";
      Group = "slurm";
      EnvironmentFile = "-/etc/default/slurmctld";
      ExecStart = "${daemon "slurmctld"} --systemd $SLURMCTLD_OPTIONS";
      ExecReload = "${pkgs.coreutils}/bin/kill -HUP $MAINPID";
      RuntimeDirectory = "slurmctld";
      LimitNOFILE = 65536;
    };
  };

  systemd.services.slurmd = {
    description = "Slurm's node daemon";
    after = [ "munged.service" ];
    path = [
      slurm
      pkgs.bashInteractive
    ];
    serviceConfig = {
      Type = "notify";
      EnvironmentFile = "-/etc/default/slurmd";
      ExecStart = "${daemon "slurmd"} --systemd $SLURMD_OPTIONS";
      ExecReload = "${pkgs.coreutils}/bin/kill -HUP $MAINPID";
      RuntimeDirectory = "slurm";
      Delegate = true;
      KillMode = "process";
      LimitNOFILE = 131072;
      LimitMEMLOCK = "infinity";
      LimitSTACK = "infinity";
      TasksMax = "infinity";
    };
  };
}
