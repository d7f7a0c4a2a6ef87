# The Python tests that need no VM and none but nixpkgs' packages: what the flake's images are packed and planned by.
{ pkgs, source }:
let
  python = pkgs.python3.withPackages (packages: [
    packages.asyncssh
    packages.cryptography
    packages.filelock
    packages.hypothesis
    packages.jinja2
    packages.numpy
    packages.pyarrow
    packages.pydantic
    packages.pytest
    packages.pytest-timeout
  ]);
in
pkgs.runCommand "python-tests"
  {
    nativeBuildInputs = [
      python
      pkgs.bashInteractive
      pkgs.cpio
      pkgs.erofs-utils
      pkgs.openssh
      pkgs.zstd
    ];
  }
  ''
    cp -r ${source} source && chmod -R u+w source && cd source
    export HOME=$TMPDIR
    pytest -q tests/unit/campaign/images/test_pack.py tests/unit/campaign/images/test_nix.py tests/unit/campaign/images/test_store.py \
      tests/unit/campaign/images/test_contract.py tests/unit/schedulers/test_slurm.py tests/unit/schedulers/test_flux.py tests/conformance/test_promises.py
    touch $out
  ''
