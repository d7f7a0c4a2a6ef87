# Kubernetes' daemons and a container runtime, without registry, network plugin or kubeadm. The bootstrap brings the units.
{ lib, pkgs, ... }:
let
  kubernetes = name: "${pkgs.kubernetes}/bin/${name}";
in
{
  campaign.image = {
    name = "kubernetes";
    programs =
      lib.genAttrs [
        "kube-apiserver"
        "kube-controller-manager"
        "kube-scheduler"
        "kubelet"
      ] kubernetes
      // {
        containerd = "${pkgs.containerd}/bin/containerd";
        containerd-shim-runc-v2 = "${pkgs.containerd}/bin/containerd-shim-runc-v2";
        ctr = "${pkgs.containerd}/bin/ctr";
        curl = "${pkgs.curl}/bin/curl"; # asks the API server
        etcd = "${pkgs.etcd}/bin/etcd";
        mount = "${pkgs.util-linux}/bin/mount"; # for the kubelet's volumes
        runc = "${pkgs.runc}/bin/runc";
      };
  };
}
