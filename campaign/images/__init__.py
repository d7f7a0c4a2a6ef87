"""Image bundles, from which nodes boot: built from Debian packages or by the Nix flake, and stored.

The guest contract, which every builder keeps and the hypervisor relies on:

- A bundle is `kernel`, `initrd`, `root.erofs` and `manifest.json`; its hash names the bytes of the
  first three and the kernel command line. The kernel boots by `-kernel`/`-initrd` with the
  manifest's `kernel_cmdline` and nothing added, except in virtual time.
- `root.erofs` is the first virtio-blk disk (/dev/vda), read-only and shared by all nodes. The guest
  puts a RAM overlay over it, keeps no disk, and writes nothing back.
- With `root=pmem` on the kernel command line, for virtual time, the guest is closed: the root file
  system is one memory that QEMU maps (an nvdimm, read-only; its size is a multiple of 2 MiB),
  the exchange is the only other one. Neither sshd nor an address is started then, but
  trial-agent.service, which unpacks the task in the exchange and becomes the agent that it brings.
  The loopback interface has the address 10.42.0.1 too.
- All that tells a node from others comes as systemd credentials through QEMU's fw_cfg
  (`-fw_cfg name=opt/io.systemd.credentials/NAME,file=PATH`), so that secrets lie in files, not in
  process arguments:
    `system.hostname`            the host name; the image has no /etc/hostname
    `ssh.authorized_keys.root`   who may log in as root
    `tmpfiles.extra`             tmpfiles.d lines that write /etc/ssh/ssh_host_ed25519_key (mode
                                 0600), /etc/hosts and /etc/systemd/network/*.network before sshd
                                 starts
- A .network file uses only `MACAddress=`, `Address=` (with prefix length) and `Gateway=`, one per
  line: the Debian guest reads them with a script of its own, because networkd and udev would cost
  seconds under emulation.
- The image holds no host key, machine id, munge key or random seed: two clusters from one image
  share no secret.
- sshd listens on port 22 of every address: root, by key, with an ed25519 host key. Nothing else
  listens, and no scheduler daemon runs until the bootstrap starts it. The manifest's `facts` hold
  unit names, users and paths.
- Kernel and systemd messages go to the first serial port. A kernel panic stays there, and the node
  stands still.
"""
