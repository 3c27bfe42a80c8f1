#!/usr/bin/env bash
# examples/demo --checkpoint: two VMs are saved, lose their power, and the job ends at the other site.
exec "$(dirname "$0")/../../examples/demo" --checkpoint
