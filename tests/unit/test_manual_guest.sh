#!/bin/bash
# mca_crcp_ninja(7) says the same as ompi_info of every parameter: its name, its default and its words.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
PAGE=$HERE/../../man/mca_crcp_ninja.7
if ! command -v groff >/dev/null || ! command -v ompi_info >/dev/null; then
    echo "needs groff and ompi_info"
    exit 77
fi
TEXT=$(groff -man -Tascii -P-cbou -rLL=900n -rHY=0 "$PAGE" | tr -s ' \n' ' ')
export OMPI_MCA_mca_base_component_path=$NINJA_COMPONENTS:SYSTEM_DEFAULT

# field NAME KEY: of a parameter.
field() {
    sed -n "s/^mca:crcp:ninja:param:$1:$2://p" <<<"$INFO" | sed 's/^"\(.*\)"$/\1/'
}

INFO=$(ompi_info --param crcp ninja --level 9 --parsable)
NAMES=$(sed -n 's/^mca:crcp:ninja:param:\([a-z_]*\):value:.*/\1/p' <<<"$INFO")
[ "$(wc -w <<<"$NAMES")" -ge 6 ] || { echo "ompi_info does not know the component: $INFO"; exit 1; }
failed=0
for name in $NAMES; do
    entry="$name ("
    [[ $TEXT == *"$entry"* ]] || { echo "the page lacks $name"; failed=1; continue; }
    rest=${TEXT#*"$entry"}
    default=$(field "$name" value)
    [[ ${rest%%)*} == *"default $default" ]] || { echo "$name: the default is \"$default\", the page says (${rest%%)*})"; failed=1; }
    help=$(field "$name" help | sed 's/\\:/:/g')
    [[ ${rest#*) } == "$help "* ]] || { echo "$name: ompi_info says \"$help\", the page \"${rest#*) }\""; failed=1; }
done
[ "$(grep -c '^\.BR crcp_ninja_' "$PAGE")" -eq "$(wc -w <<<"$NAMES")" ] || { echo "the page has parameters that there are not"; failed=1; }
exit $failed
