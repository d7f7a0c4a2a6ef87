# A NixOS test: a head and two compute nodes take a scheduler's own bootstrap plan, and a job runs across both.
{
  lib,
  pkgs,
  scheduler,
  modules,
  facts,
  source,
}:
let
  node = name: number: role: slots: memory_mib: {
    inherit
      name
      role
      slots
      memory_mib
      ;
    address = "192.168.1.${toString number}";
  };
  cluster = [
    (node "head" 1 "head" 0 2048)
    (node "n1" 2 "compute" 2 1536)
    (node "n2" 3 "compute" 2 1536)
  ];

  # The plan comes from the adapter, as for any cluster: nothing of it is written down a second time.
  plan =
    pkgs.runCommand "plan-${scheduler}.json"
      {
        nativeBuildInputs = [
          (pkgs.python3.withPackages (packages: [
            packages.asyncssh
            packages.cryptography
            packages.jinja2
            packages.numpy
            packages.pyarrow
            packages.pydantic
          ]))
        ];
        cluster = builtins.toJSON cluster;
        facts = builtins.toJSON facts;
      }
      ''
        PYTHONPATH=${source} python3 ${./plan.py} ${scheduler} "$facts" <<<"$cluster" >$out
      '';
in
pkgs.testers.runNixOSTest {
  name = "job-across-nodes-${scheduler}";

  # What the image is, but for how it boots and is entered: the test driver has ways of its own.
  nodes = lib.listToAttrs (
    map (
      { name, address, ... }@of:
      lib.nameValuePair name (
        { config, ... }:
        {
          imports = modules ++ [
            ../modules/image.nix
            ../modules/instruments.nix
          ];
          networking.firewall.enable = false;
          networking.interfaces.eth1.ipv4.addresses = lib.mkForce [
            {
              inherit address;
              prefixLength = 24;
            }
          ];
          virtualisation.memorySize = of.memory_mib;
          virtualisation.cores = lib.max 1 of.slots;
          system.activationScripts.programs = {
            deps = [
              "binsh"
              "usrbinenv"
            ];
            text = ''
              ln -sf ${config.system.path}/bin/* /usr/bin/
              ln -sf ${config.system.path}/bin/{bash,true} /bin/
              ln -sfn ${config.system.path}/share /usr/share
            '';
          };
        }
      )
    ) cluster
  );

  testScript = ''
    import json

    ${builtins.readFile ./carry_out.py}
    start_all()
    for machine in machines:
        machine.wait_for_unit("multi-user.target")
    with open("${plan}") as file:
        carry_out(json.load(file), {machine.name: machine for machine in machines})
  '';
}
