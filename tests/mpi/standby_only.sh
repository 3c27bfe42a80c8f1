#!/usr/bin/env bash
# Only the transport that counts as bypass is released (vader plays it): tcp, which stays, takes
# over, and the peers that were not on it keep their connections.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
start_agent
start_job -np 4 --mca btl vader,tcp,self --mca crcp_ninja_bypass vader "$BUILD/mpi/p2p" 4000
wait_for 120 job_is_ready 4
done=0
while job_runs; do
    if ! { ninjactl switch --release @bypass --btl standby && ninjactl switch --btl best; } \
        >"$DIR/switch.log" 2>&1; then
        sleep 0.5
        ! job_runs || die "a switch failed"
        break
    fi
    done=$((done + 1))
done
end_job
grep -q "p2p: ok" "$DIR/job.log" || die "wrong result"
[ "$done" -ge 5 ] || die "only $done switches"
