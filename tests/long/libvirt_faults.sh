#!/usr/bin/env bash
# All faults of migrations with libvirt, of which every day has half.
exec "$(dirname "$0")/../libvirt/driver_faults.sh" all
