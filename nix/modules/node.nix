# What every node is, whatever its scheduler: an identity that comes as credentials, a way in, and nothing else.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  guest = ../../campaign/images/debian/guest/root;
in
{
  # No Nix, no documentation, nothing to rebuild: an image is replaced, not changed.
  nix.enable = false;
  system.switch.enable = false;
  system.stateVersion = lib.trivial.release;
  documentation.enable = false;
  xdg.autostart.enable = false;
  xdg.icons.enable = false;
  xdg.mime.enable = false;
  xdg.sounds.enable = false;
  environment.defaultPackages = lib.mkForce [ ];
  environment.stub-ld.enable = false;
  programs.command-not-found.enable = false;
  programs.nano.enable = false;
  services.fstrim.enable = false;
  services.logrotate.enable = false;
  security.sudo.enable = false;
  services.timesyncd.enable = false;
  services.nscd.enable = false;
  system.nssModules = lib.mkForce [ ];
  systemd.oomd.enable = false;
  systemd.coredump.enable = false;
  systemd.services.lastlog2-import.enable = lib.mkForce false;

  # Its name, keys and addresses are credentials (see campaign/images/__init__.py), which systemd-tmpfiles writes down:
  # so the image has neither /etc/hostname nor /etc/hosts.
  networking.hostName = "";
  assertions = [
    {
      assertion = config.networking.hostName == "";
      message = "An image has no host name of its own (networking.hostName): each node is given one.";
    }
  ];
  environment.etc.hosts.enable = false;
  systemd.tmpfiles.rules = [
    "d /root 0700 root root -"
    "d /root/.ssh 0700 root root -"
    "f^ /root/.ssh/authorized_keys 0600 root root - ssh.authorized_keys.root"
  ];
  systemd.services.systemd-tmpfiles-setup.serviceConfig.ImportCredential = [
    "tmpfiles.*"
    "ssh.authorized_keys.root"
  ];

  # Root enters by the key that came as a credential, in no other way. Nobody else does.
  users.mutableUsers = false;
  users.allowNoPasswordLogin = true;
  users.users.sshd = {
    isSystemUser = true;
    group = "sshd";
    home = "/var/empty";
  };
  users.groups.sshd = { };
  environment.etc."ssh/sshd_config".source = guest + "/etc/ssh/sshd_config";

  # Static addresses, by the same script as on Debian. The cluster's network is no place for a firewall: every port of
  # a scheduler is open to its nodes, and nobody else is there.
  networking.useDHCP = false;
  networking.dhcpcd.enable = false;
  networking.firewall.enable = false;
  networking.resolvconf.enable = false;
  networking.useNetworkd = false;
  networking.modemmanager.enable = false;
  systemd.services.network-local-commands.enable = false;
  systemd.services.network-setup.enable = false;

  systemd.defaultUnit = "node.target";
  systemd.targets.node = {
    description = "A node of a throw-away cluster";
    requires = [ "basic.target" ];
    after = [ "basic.target" ];
    wants = [
      "dbus.socket"
      "node-network.service"
      "ssh.service"
      "trial-agent.service"
    ];
    unitConfig.AllowIsolate = true;
  };

  systemd.services.ssh = {
    description = "OpenSSH server";
    unitConfig.DefaultDependencies = false;
    unitConfig.ConditionKernelCommandLine = "!root=pmem";
    after = [ "systemd-tmpfiles-setup.service" ];
    wants = [ "systemd-tmpfiles-setup.service" ];
    serviceConfig = {
      Type = "exec";
      ExecStart = "${pkgs.openssh}/bin/sshd -D -f /etc/ssh/sshd_config";
      RuntimeDirectory = "sshd";
      RuntimeDirectoryMode = "0755";
      KillMode = "process";
      Restart = "on-failure";
    };
  };

  systemd.services.node-network = {
    description = "Static addresses";
    unitConfig.DefaultDependencies = false;
    unitConfig.ConditionKernelCommandLine = "!root=pmem";
    after = [ "systemd-tmpfiles-setup.service" ];
    before = [
      "network-online.target"
      "network.target"
    ];
    wants = [ "network.target" ];
    path = [ pkgs.iproute2 ];
    serviceConfig = {
      Type = "oneshot";
      RemainAfterExit = true;
      ExecStart = "${pkgs.bash}/bin/bash ${guest + "/usr/lib/campaign/network"}";
    };
  };

  # In virtual time, the only thing that enters a node: the same script as on Debian.
  systemd.services.trial-agent = {
    description = "The tasks of the exchange";
    unitConfig = {
      DefaultDependencies = false;
      ConditionKernelCommandLine = "root=pmem";
      StartLimitIntervalSec = 0;
    };
    after = [ "systemd-tmpfiles-setup.service" ];
    wants = [ "systemd-tmpfiles-setup.service" ];
    environment = {
      HOME = "/root";
      PATH = lib.mkForce "/usr/bin";
      PYTHONHASHSEED = "0";
    };
    serviceConfig = {
      Type = "exec";
      ExecStart = "${pkgs.bash}/bin/bash ${guest + "/usr/lib/campaign/trial-agent"}";
      KillMode = "process";
      StandardOutput = "journal+console";
      Restart = "on-failure";
      RestartSec = 1;
    };
  };

  # In RAM, small: nothing of a node survives.
  services.journald = {
    storage = "volatile";
    rateLimitBurst = 0;
    extraConfig = ''
      RuntimeMaxUse=8M
      ReadKMsg=no
    '';
  };
  systemd.settings.Manager = {
    DefaultTimeoutStartSec = "45s";
    DefaultTimeoutStopSec = "5s";
    ShowStatus = true;
  };
}
