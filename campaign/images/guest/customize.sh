#!/bin/sh
# Run by mmdebstrap on the configured guest ($1), before it is packed: our files in, everything a throw-away node does
# not need out, nothing left that differs between two builds.
set -eu
root=$1
here=$(dirname "$(readlink -f "$0")")

cp -R --no-preserve=ownership,timestamps "$here/root/." "$root/"
chmod 0755 "$root/usr/lib/campaign/network"

# What a first boot would write, and what must never be the same on two clusters.
rm -rf "$root"/etc/slurm/plugstack.conf* "$root"/etc/ssh/ssh_host_* "$root"/etc/munge/munge.key "$root"/etc/hostname "$root"/etc/resolv.conf \
    "$root"/var/lib/systemd/random-seed "$root"/etc/machine-id "$root"/var/lib/dbus/machine-id
: >"$root/etc/machine-id"

# Units: only what node.target wants is started.
rm -rf "$root"/etc/systemd/system/*.wants "$root"/usr/lib/systemd/system/*.wants/* "$root"/usr/lib/systemd/system-generators
for unit in systemd-journald-dev-log.socket systemd-journald.socket; do
    ln -sf "../$unit" "$root/usr/lib/systemd/system/sockets.target.wants/$unit"
done
ln -sf ../systemd-tmpfiles-setup.service "$root/usr/lib/systemd/system/sysinit.target.wants/"
ln -sf /etc/systemd/system/node.target "$root/etc/systemd/system/default.target"
(cd "$root/usr/lib/tmpfiles.d" && rm -f debian.conf home.conf journal-nocow.conf legacy.conf libselinux1.conf passwd.conf \
    systemd.conf systemd-nologin.conf systemd-pstore.conf systemd-tmp.conf tmp.conf var.conf x11.conf \
    static-nodes-permissions.conf systemd-network.conf openssh-client.conf credstore.conf 20-systemd-*.conf)

# Packaging machinery, documentation, and programs that nobody runs on a node.
rm -rf "$root"/usr/share/doc "$root"/usr/share/man "$root"/usr/share/locale "$root"/usr/share/info "$root"/usr/share/lintian \
    "$root"/usr/share/bug "$root"/usr/share/perl* "$root"/usr/lib/*/perl-base "$root"/usr/share/zsh "$root"/usr/share/bash-completion \
    "$root"/usr/share/zoneinfo "$root"/usr/share/i18n "$root"/usr/share/pixmaps "$root"/usr/share/common-licenses "$root"/usr/share/debconf \
    "$root"/usr/lib/udev/hwdb.d "$root"/usr/lib/systemd/catalog "$root"/usr/lib/apt "$root"/usr/lib/dpkg "$root"/usr/lib/systemd/boot \
    "$root"/usr/lib/*/gconv "$root"/var/lib/apt "$root"/var/lib/dpkg "$root"/var/lib/systemd/* \
    "$root"/var/backups "$root"/etc/apt "$root"/etc/cron* "$root"/etc/.pwd.lock "$root"/etc/*- "$root"/boot/* "$root"/tmp/* "$root"/run/*
find "$root/var/log" "$root/var/cache" -type f -delete  # the folders stay: daemons check who owns them
