# The images by name: the modules that make each what it is, and the schedulers whose adapters use it.
let
  modules = ./modules;
in
{
  slurm = {
    modules = [ (modules + "/slurm.nix") ];
    schedulers = [ "slurm" ];
  };
  slurm-accounting = {
    modules = [
      (modules + "/slurm.nix")
      (modules + "/accounting.nix")
    ];
    schedulers = [ "slurm" ];
    check = "slurm-accounting"; # of a scheduler's second image, by a name of its own
  };
  flux = {
    modules = [ (modules + "/flux.nix") ];
    schedulers = [ "flux" ];
  };
  volcano = {
    modules = [
      (modules + "/kubernetes.nix")
      (modules + "/volcano.nix")
    ];
    schedulers = [
      "kube"
      "volcano"
    ];
  };
}
