# Sourced by .ci/run and .ci/long: runs steps, notes their exit codes, and closes with one line of counts.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

export CI=true
# Where the headers are installed, a native module that has no build for this platform compiles without a download.
if [ -d /usr/include/node ]; then export npm_config_nodedir=/usr; fi

outcomes=()

# step NAME COMMAND...: runs the command and counts it as one check.
step() {
  local name=$1 began=$SECONDS
  shift
  echo "== $name: $*"
  "$@"
  outcomes+=("$name=$?=$((SECONDS - began))")
}

# tests NAME REPORT COMMAND...: runs the command, and counts the tests in the report that it writes.
tests() {
  local name=$1 report=$2 began=$SECONDS kept=.tmp/ci/$1.json
  shift 2
  echo "== $name: $*"
  mkdir -p .tmp/ci
  rm -f "$report" "$kept"
  "$@"
  local code=$?
  # The next step may write a report of the same name.
  if [ -f "$report" ]; then cp "$report" "$kept"; fi
  outcomes+=("$name=$code=$((SECONDS - began))=$kept")
}

summary() {
  node .ci/summary.mjs "${outcomes[@]}"
}
