#!/usr/bin/env bash
# Builds etcd, kube-apiserver and kube-controller-manager from their Go modules, for the tests, and
# prints the directory they are in. Nothing happens where that was done already; the first time
# takes minutes. Usage: build.sh [DIR]; without DIR it is target/apiserver of this workspace.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

version=v1.37.2
# Named by what they are made from: another go.mod makes others, and never runs what was there.
made_from=$(cat go.mod go.sum build.sh | sha256sum | cut -c 1-12)
out=${1:-${CARGO_TARGET_DIR:-../../target}/apiserver}/$made_from
mkdir -p "$out"
out=$(cd "$out" && pwd)

# Two test programs that start at once build once.
exec 9>"$out/lock"
flock 9

build() { # the program's name, its package
  [ ! -x "$out/$1" ] || return 0
  # Without the version kubectl finds the server malformed.
  GOFLAGS=-mod=readonly CGO_ENABLED=0 go build -trimpath -o "$out/$1.new" -ldflags "-s -w \
    -X k8s.io/component-base/version.gitVersion=$version \
    -X k8s.io/component-base/version.gitMajor=$(cut -d. -f1 <<<"${version#v}") \
    -X k8s.io/component-base/version.gitMinor=$(cut -d. -f2 <<<"$version")" "$2" >&2
  mv "$out/$1.new" "$out/$1"
}

build etcd go.etcd.io/etcd/server/v3
build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver
build kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager
# Where the tests look.
ln -sfn "$made_from" "$out/../current"
printf '%s\n' "$out"
