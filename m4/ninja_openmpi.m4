# NINJA_CHECK_OPENMPI
# The installed Open MPI: its version (4.1.x only), developer headers, component directory.
# Sets OMPI_VERSION, OMPI_CFLAGS, OMPI_LIBS, mcadir. What is missing goes to $missing.
AC_DEFUN([NINJA_CHECK_OPENMPI], [
    AC_ARG_VAR([OMPI_INFO], [ompi_info of the Open MPI to build for])
    AC_PATH_PROGS([OMPI_INFO], [ompi_info.openmpi ompi_info])
    AS_IF([test -z "$OMPI_INFO"],
        [NINJA_MISSING([Open MPI 4.1 (Debian: openmpi-bin, libopenmpi-dev)])],
        [
        AC_MSG_CHECKING([version of Open MPI])
        OMPI_VERSION=`"$OMPI_INFO" --parsable 2>/dev/null | sed -n 's/^ompi:version:full://p'`
        AC_MSG_RESULT([${OMPI_VERSION:-unknown}])
        AS_CASE([$OMPI_VERSION],
            [4.1.*], [],
            [NINJA_MISSING([Open MPI 4.1.x: found ${OMPI_VERSION:-none that tells its version}, whose inner layout these components do not know])])

        NINJA_OMPI_PATHS
        AS_IF([test -n "$with_mca_dir"], [mcadir=$with_mca_dir])
    ])
    AC_CHECK_HEADERS([infiniband/verbs.h], [],
        [NINJA_MISSING([libibverbs headers (Debian: libibverbs-dev)])])
    PKG_CHECK_MODULES([PMIX], [pmix >= 3], [],
        [NINJA_MISSING([PMIx 3 or later headers (Debian: libpmix-dev)])])
    AC_SUBST([OMPI_VERSION])
    AC_SUBST([OMPI_CFLAGS])
    AC_SUBST([OMPI_LIBS])
    AC_SUBST([mcadir])
])

# The developer headers lie below the include directory, in openmpi/{opal,orte,ompi}.
AC_DEFUN([NINJA_OMPI_PATHS], [
    ompi_includedir=`"$OMPI_INFO" --parsable --path incdir 2>/dev/null | sed -n 's/^path:incdir://p'`
    mcadir=`"$OMPI_INFO" --parsable --path pkglibdir 2>/dev/null | sed -n 's/^path:pkglibdir://p'`
    AC_MSG_CHECKING([for the developer headers of Open MPI])
    ompi_devdir=
    for d in "$ompi_includedir/openmpi" "$ompi_includedir"; do
        AS_IF([test -f "$d/ompi/mca/bml/bml.h" && test -f "$d/opal/mca/btl/btl.h"],
            [ompi_devdir=$d; break])
    done
    AC_MSG_RESULT([${ompi_devdir:-not found}])
    AS_IF([test -z "$ompi_devdir"],
        [NINJA_MISSING([developer headers of Open MPI $OMPI_VERSION (Debian: libopenmpi-dev; a build from source: configure it with --with-devel-headers)])])
    OMPI_CFLAGS="-isystem $ompi_includedir -isystem $ompi_devdir"
    # A program that loads libmpi as a plugin does (Python) keeps its symbols from components that
    # do not name it.
    ompi_libdir=`"$OMPI_INFO" --parsable --path libdir 2>/dev/null | sed -n 's/^path:libdir://p'`
    OMPI_LIBS="-L$ompi_libdir -lmpi"
])
