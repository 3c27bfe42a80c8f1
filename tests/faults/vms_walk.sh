#!/usr/bin/env bash
# The fault points of coordinator and agent in migrations of real VMs, which tests/vm/fault_points.sh walks.
set -euo pipefail
exec "$(dirname "$0")/../vm/fault_points.sh" coordinator:{state,step,message}:crash coordinator:step:error \
    coordinator:message:{lost,repeated} agent@vm2:{state,step}:crash agent@vm2:step:error "$@"
