# Volcano's scheduler and controllers beside Kubernetes, and the custom resource definitions that they work on.
{ lib, pkgs, ... }:
{
  campaign.image.programs = {
    vc-scheduler = "${pkgs.volcano}/bin/vc-scheduler";
    vc-controller-manager = "${pkgs.volcano}/bin/vc-controller-manager";
    vc-webhook-manager = "${pkgs.volcano}/bin/vc-webhook-manager";
  };

  environment.systemPackages = [ pkgs.volcano ];
  environment.pathsToLink = [ "/share/volcano" ];
}
