# What an image is: the options of which its bundle is made, and the derivation that packs it.
{
  config,
  lib,
  pkgs,
  builder,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.campaign.image;

  toplevel = config.system.build.toplevel;

  # Everything that packing needs to know, for campaign/images/packing/pack.py.
  description = pkgs.writeText "${cfg.name}.json" (
    builtins.toJSON {
      inherit (cfg) name facts modules;
      memory_modules = cfg.memoryModules;
      system = pkgs.stdenv.hostPlatform.system;
      kernel_cmdline = lib.concatStringsSep " " cfg.kernelCmdline;
      kernel_version = config.boot.kernelPackages.kernel.modDirVersion;
      kernel = "${config.boot.kernelPackages.kernel}/${config.system.boot.loader.kernelFile}";
      drivers = "${config.system.modulesTree}/lib/modules/${config.boot.kernelPackages.kernel.modDirVersion}";
      busybox = "${pkgs.pkgsStatic.busybox}/bin/busybox";
      closure = "${pkgs.closureInfo { rootPaths = [ toplevel ]; }}/store-paths";
      links = cfg.links;
    }
  );
in
{
  options.campaign.image = {
    name = mkOption {
      type = types.strMatching "[a-z][a-z0-9-]*";
      description = "Name of the image, by which a scheduler's adapter asks for it.";
      example = "slurm";
    };

    kernelCmdline = mkOption {
      type = types.listOf (types.strMatching "[!-~]+");
      description = ''
        The kernel command line, to which whoever boots the image adds nothing. It begins with what the images of both
        builders share (`campaign/images/debian/specs/_base.toml`).
      '';
    };

    modules = mkOption {
      type = types.listOf (types.strMatching "[a-z0-9_]+");
      description = "Drivers between the kernel and its root disk, in the order in which the initramfs loads them.";
    };

    memoryModules = mkOption {
      type = types.listOf (types.strMatching "[a-z0-9_]+");
      default = [ ];
      description = "Drivers that are loaded as well where the root file system is memory that QEMU maps (`root=pmem`).";
    };

    facts = mkOption {
      type = types.attrsOf types.str;
      default = { };
      description = ''
        What a scheduler's adapter must know of the image, under the names by which it asks: names of units, users and
        paths. Only what differs from the image of the Debian builder is needed; the rest says the same for the record.
      '';
      example = {
        "unit.munge" = "munged.service";
      };
    };

    programs = mkOption {
      type = types.attrsOf types.path;
      default = { };
      description = ''
        Programs that adapters and instruments call by name, and where each is. All are found in {file}`/usr/bin`, and
        {file}`/bin` is the same folder. The build fails when one is not there.
      '';
      example = lib.literalExpression ''{ sinfo = "''${pkgs.slurm}/bin/sinfo"; }'';
    };

    links = mkOption {
      type = types.attrsOf types.path;
      default = { };
      description = "Symbolic links of the root file system, by their path without the leading slash.";
    };

    guest = mkOption {
      type = types.raw;
      readOnly = true;
      description = ''
        What the configuration says of the image that it would be, for the contract that images of all builders keep
        (`campaign/images/contract.py`).
      '';
    };

    daemons = mkOption {
      type = types.listOf types.str;
      default = [ ];
      description = "Units that the image has for a bootstrap to start. None of them starts by itself.";
      example = [ "slurmctld.service" ];
    };
  };

  config = {
    assertions = [
      {
        assertion = lib.all (
          unit: (config.systemd.units.${unit}.wantedBy or [ ]) == [ ] && config.systemd.units ? ${unit}
        ) cfg.daemons;
        message = "The image ${cfg.name} promises units (campaign.image.daemons) that it lacks or that start by themselves.";
      }
    ];

    environment.systemPackages = [
      (pkgs.runCommand "campaign-programs" { } (
        "mkdir -p $out/bin\n"
        + lib.concatStrings (
          lib.mapAttrsToList (name: path: ''
            test -x ${path} || { echo "the image ${cfg.name} promises ${name}, but there is no program ${path}" >&2; exit 1; }
            ln -s ${path} $out/bin/${name}
          '') cfg.programs
        )
      ))
    ];

    # Only the bootstrap starts a scheduler's daemon.
    systemd.services = lib.genAttrs (map (lib.removeSuffix ".service") cfg.daemons) (_: {
      wantedBy = lib.mkForce [ ];
    });

    campaign.image.guest = {
      kernel_cmdline = lib.concatStringsSep " " cfg.kernelCmdline;
      inherit (cfg) facts;
      target = config.systemd.defaultUnit;
      starts = config.systemd.targets.${lib.removeSuffix ".target" config.systemd.defaultUnit}.wants;
      units = lib.attrNames config.systemd.units;
      users = lib.mapAttrs (_: user: user.uid) config.users.users;
      programs = lib.attrNames cfg.programs;
      credentials = config.systemd.services.systemd-tmpfiles-setup.serviceConfig.ImportCredential;
      files = map (file: "/etc/${file.target}") (
        lib.filter (file: file.enable) (lib.attrValues config.environment.etc)
      );
    };

    system.build.bundle =
      pkgs.runCommand "image-${cfg.name}"
        {
          nativeBuildInputs = [
            (pkgs.python3.withPackages (packages: [ packages.pydantic ]))
            pkgs.erofs-utils
            pkgs.zstd
          ];
          __structuredAttrs = true;
          # The root file system holds all that it needs: a copy, not a reference.
          unsafeDiscardReferences.out = true;
        }
        ''
          PYTHONPATH=${builder} python3 -m campaign.images.packing.pack ${description} "$out"
        '';
  };
}
