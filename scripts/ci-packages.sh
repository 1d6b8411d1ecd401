#!/usr/bin/env bash
# Installs what the tests need of the system beyond Node and Python: an ssh server, which the tunnel tests start as a
# process of their own. Does nothing where it is installed.
set -euo pipefail

if command -v sshd >/dev/null || [ -x /usr/sbin/sshd ]; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "ci-packages: no sshd, and no apt-get to install it with" >&2
  exit 1
fi
sudo=()
if [ "$(id -u)" -ne 0 ]; then sudo=(sudo); fi
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
# RUNLEVEL=1: the package would start a service, which nobody asked for.
"${sudo[@]}" env RUNLEVEL=1 apt-get install -y -qq --no-install-recommends openssh-server openssh-client
