#!/usr/bin/env bash
# Installs the system packages that the tests need besides Node and Python: an ssh server, which the tunnel tests start
# themselves. Does nothing if sshd is installed.
set -euo pipefail

if command -v sshd >/dev/null || [ -x /usr/sbin/sshd ]; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "ci-packages: sshd is missing, and apt-get is not available to install it" >&2
  exit 1
fi
sudo=()
if [ "$(id -u)" -ne 0 ]; then sudo=(sudo); fi
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
# RUNLEVEL=1 keeps the package from starting a service.
"${sudo[@]}" env RUNLEVEL=1 apt-get install -y -qq --no-install-recommends openssh-server openssh-client
