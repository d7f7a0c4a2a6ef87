# Flux as a site installs it: a command that finds Fluxion's modules and commands beside its own, and what belongs in /etc.
{
  symlinkJoin,
  makeWrapper,
  flux-core,
  flux-sched,
  flux-security,
}:

symlinkJoin {
  name = "flux-${flux-core.version}";
  paths = [
    flux-core
    flux-sched
    flux-security
  ];
  nativeBuildInputs = [ makeWrapper ];
  postBuild = ''
    wrapProgram $out/bin/flux \
      --prefix FLUX_MODULE_PATH_PREPEND : ${flux-sched}/lib/flux/modules \
      --prefix FLUX_EXEC_PATH_PREPEND : ${flux-sched}/libexec/flux/cmd \
      --prefix FLUX_PYTHONPATH_PREPEND : "$(echo ${flux-sched}/lib/flux/python3*)"
  '';
  meta = flux-core.meta // {
    mainProgram = "flux";
  };
}
