#!/usr/bin/env bash
# A peer on another node is contacted for the first time after the last switch, and in MPI_Finalize:
# by the addresses of that switch, not by those of MPI_Init.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" -eq 0 ] || { echo "several nodes on one machine: root only"; exit 77; }
start_agent
export LATE_CONTACT_FILE=$DIR/go
start_job --host n1:2,n2:2,n3:2,n4:2 --mca plm_rsh_agent "$TOP/tests/mpi/fake_rsh" \
    --mca plm_rsh_no_tree_spawn 1 --mca oob_tcp_if_include lo --mca btl_tcp_if_include lo \
    -np 8 --map-by slot --mca btl vader,tcp,self -x LATE_CONTACT_FILE "$BUILD/mpi/late_contact"
wait_for 120 job_is_ready 8
for set in tcp,self best; do
    ninjactl switch --btl "$set" >"$DIR/switch.log" 2>&1 || die "a switch failed"
done
[ "$(ninjactl status --json | jq -c '[.. | .transports? // empty] | unique')" = '[{"self":1,"vader":1}]' ] ||
    die "the ranks do not take each other for being on several nodes"
status=0
ninjactl switch --btl vader,self >"$DIR/switch.log" 2>&1 || status=$?
[ $status -eq 2 ] || die "status $status instead of 2 for a set that reaches no other node"
grep -q 'reaches no other node' "$DIR/switch.log" || die "does not say why"
touch "$LATE_CONTACT_FILE"
end_job
[ "$(grep -c ': ok$' "$DIR/job.log")" -eq 8 ] || die "not every rank made its last contact"
