# Volcano: its scheduler, controller manager and webhook manager, and the custom resource definitions that they work on.
{
  lib,
  buildGoModule,
  fetchFromGitHub,
  pendingHashes,
}:

buildGoModule (finalAttrs: {
  pname = "volcano";
  version = "1.15.1";

  src = fetchFromGitHub {
    owner = "volcano-sh";
    repo = "volcano";
    tag = "v${finalAttrs.version}";
    hash = "sha256-zVLA7W0WcWFLdoyFZ0hnoG4NaqZQmo1QgBD/qJkcnZ8=";
  };
  vendorHash = pendingHashes.volcanoVendor;

  env.CGO_ENABLED = 0;
  ldflags = [
    "-s"
    "-w"
    "-X volcano.sh/volcano/pkg/version.Version=v${finalAttrs.version}"
  ];
  subPackages = [
    "cmd/scheduler"
    "cmd/controller-manager"
    "cmd/webhook-manager"
  ];
  doCheck = false; # its tests want a cluster

  # Named as its own Makefile names them.
  postInstall = ''
    for program in scheduler controller-manager webhook-manager; do
      mv $out/bin/$program $out/bin/vc-$program
    done
    install -D -m 0644 -t $out/share/volcano/crds config/crd/volcano/bases/*.yaml config/crd/jobflow/bases/*.yaml
  '';

  meta = {
    description = "Batch scheduler for Kubernetes";
    homepage = "https://volcano.sh";
    license = lib.licenses.asl20;
    platforms = lib.platforms.linux;
  };
})
