# What the measuring wrapper, the submit agent and bootstrap plans run with, under the names that they call.
{ pkgs, ... }:
{
  # The bootstrap brings the instruments (campaign/guest/): a change of one needs no new image.
  campaign.image.programs = {
    bash = "${pkgs.bashInteractive}/bin/bash";
    sh = "${pkgs.bashInteractive}/bin/sh";
    python3 = "${pkgs.python3}/bin/python3"; # also for Ansible's modules
    ip = "${pkgs.iproute2}/bin/ip";
    ping = "${pkgs.iputils}/bin/ping";
    sshd = "${pkgs.openssh}/bin/sshd";
    cat = "${pkgs.coreutils}/bin/cat";
    tail = "${pkgs.coreutils}/bin/tail";
    tar = "${pkgs.gnutar}/bin/tar";
    true = "${pkgs.coreutils}/bin/true";
    env = "${pkgs.coreutils}/bin/env";
    timeout = "${pkgs.coreutils}/bin/timeout";
    setpriv = "${pkgs.util-linux}/bin/setpriv";
    systemctl = "${pkgs.systemd}/bin/systemctl";
    systemd-tmpfiles = "${pkgs.systemd}/bin/systemd-tmpfiles";
  };
}
