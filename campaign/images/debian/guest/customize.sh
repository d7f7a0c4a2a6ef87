#!/bin/sh
# Run by mmdebstrap on the configured guest ($1), before it is packed: our files in, everything a throw-away node does
# not need out, nothing left that differs between two builds.
set -eu
root=$1
here=$(dirname "$(readlink -f "$0")")

cp -R --no-preserve=ownership,timestamps "$here/root/." "$root/"
chmod 0755 "$root"/usr/lib/campaign/*

# What a first boot would write, and what must never be the same on two clusters.
(cd "$root/etc" && rm -rf hostname machine-id munge/munge.key resolv.conf ssh/ssh_host_* .pwd.lock ./*-)
rm -rf "$root/var/lib/systemd/random-seed" "$root/var/lib/dbus/machine-id"
: >"$root/etc/machine-id"

# Units: only what node.target wants is started.
rm -rf "$root"/etc/systemd/system/*.wants "$root"/usr/lib/systemd/system/*.wants/* "$root"/usr/lib/systemd/system-generators
for unit in systemd-journald-dev-log.socket systemd-journald.socket; do
    ln -sf "../$unit" "$root/usr/lib/systemd/system/sockets.target.wants/$unit"
done
ln -sf /dev/null "$root/etc/systemd/system/tmp.mount"  # /tmp is in RAM as it is
ln -sf ../systemd-tmpfiles-setup.service "$root/usr/lib/systemd/system/sysinit.target.wants/"
ln -sf /etc/systemd/system/node.target "$root/etc/systemd/system/default.target"
(cd "$root/usr/lib/tmpfiles.d" && rm -f 20-systemd-*.conf credstore.conf debian.conf home.conf journal-nocow.conf \
    legacy.conf libselinux1.conf openssh-client.conf passwd.conf static-nodes-permissions.conf systemd.conf \
    systemd-network.conf systemd-nologin.conf systemd-pstore.conf systemd-tmp.conf tmp.conf var.conf x11.conf)

# Python's byte code, valid without a look at the source: compiling, or hashing to compare, is slow on an emulated node.
rm -rf "$root"/usr/lib/python3.*/test "$root"/usr/lib/python3.*/pydoc_data "$root/usr/share/python3"
chroot "$root" sh -c 'python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib /usr/libexec'

# Packaging machinery, documentation, and what nobody runs or reads on a node.
(cd "$root/usr/share" && rm -rf X11 bash-completion bug common-licenses debconf doc i18n info lintian locale man perl* \
    pixmaps zoneinfo zsh)
(cd "$root/usr/lib" && rm -rf apt dpkg ./*/gconv ./*/perl-base systemd/boot systemd/catalog udev/hwdb.d)
(cd "$root/var" && rm -rf backups lib/apt lib/dpkg lib/systemd/*)
(cd "$root/etc" && rm -rf apt cron* slurm/plugstack.conf*)  # slurmctld complains of the globs in plugstack.conf
rm -rf "$root"/usr/bin/perl* "$root"/boot/* "$root"/run/* "$root"/tmp/*
rm -rf "$root"/usr/lib/*/hwloc  # plugins with X11, OpenCL and the like behind them, which each launch of a job would load
find "$root/var/log" "$root/var/cache" -type f -delete  # the folders stay: daemons check who owns them
