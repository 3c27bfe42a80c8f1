# shellcheck shell=bash
# Checks names of transports before a job is touched. Needs usage_error, and MCA's component path.

COMPONENTS=" $(ompi_info --parsable | sed -n 's/^mca:\(btl\|crcp\|pml\):\([^:]*\):version:.*/\1:\2/p' | sort -u | tr '\n' ' ')" ||
    usage_error "ompi_info does not run: is Open MPI installed?"
[[ $COMPONENTS == *" crcp:ninja "* ]] ||
    usage_error "Open MPI does not find the component crcp/ninja in ${OMPI_MCA_mca_base_component_path:-}"

# is_of_ucx NAME: a transport of UCX, for a job on it.
is_of_ucx() {
    [[ $COMPONENTS == *" pml:ninja_ucx "* ]] && [[ " $UCX_TRANSPORTS " == *" $1 "* ]]
}
UCX_TRANSPORTS='sm posix sysv rc_verbs ud_verbs rc_mlx5 ud_mlx5 dc_mlx5 rc ud dc ib'

# check_transport NAME: a component that is installed, perhaps with the interfaces that it is to use, as ninjactl takes them.
check_transport() {
    local name=${1%%:*} interface interfaces=${1#*:}
    [ -n "$name" ] || usage_error "there is an empty name in a set of transports"
    [[ $name =~ ^[a-z0-9_]+$ && $COMPONENTS == *" btl:$name "* ]] || is_of_ucx "$name" ||
        usage_error "transport \"$name\" is not installed; there are: $(grep -o 'btl:[^ ]*' <<<"$COMPONENTS" | sed s/btl:// | paste -sd ' ')"
    [ "$interfaces" != "$1" ] || return 0
    IFS=+ read -ra interfaces <<<"$interfaces+"
    [ ${#interfaces[@]} -gt 0 ] || usage_error "transport \"$1\": there is no interface after the colon"
    for interface in "${interfaces[@]}"; do # an address, or a name; RDMA devices have other names
        [[ $name != tcp || $interface =~ / ]] || [[ $interface =~ ^[^/.]+$ && -e /sys/class/net/$interface ]] ||
            usage_error "transport \"$1\": there is no network interface \"$interface\""
    done
}

# check_set SET: sets it to what ninjactl is told.
check_set() {
    local names name reaches=''
    set_=$1
    [[ ! $1 =~ ^(best|standby|all|network|bypass)$ ]] || return 0
    IFS=, read -ra names <<<"$1,"
    [ ${#names[@]} -gt 0 ] || usage_error "there is an empty set of transports"
    for name in "${names[@]}"; do
        check_transport "$name"
        [ "$name" = self ] || reaches=yes
    done
    [ -n "$reaches" ] || usage_error "the set \"$1\" reaches no other rank"
    [[ ,$1, == *,self,* ]] || set_+=,self
}
