! Messages and collectives of the mpi_f08 module: arrays and sections, nonblocking, a derived type,
! an attribute of a callback, and a window.
program modern_fortran
    use mpi_f08
    use, intrinsic :: iso_c_binding, only: c_ptr, c_f_pointer
    use, intrinsic :: iso_fortran_env, only: int32, int64, real64
    implicit none
    integer, parameter :: n = 4000
    integer :: me, ranks, right, left, round, rounds
    integer(int32) :: numbers(n), got(n)
    real(real64) :: field(64, 64), halo(64), total, all_total
    integer(int64) :: digest, all_digest
    character(len=16) :: text
    type(MPI_Request) :: requests(2)
    type(MPI_Datatype) :: row
    type(MPI_Win) :: window
    type(MPI_Comm) :: pair
    type(c_ptr) :: base
    integer(int32), pointer :: memory(:)

    call MPI_Init()
    call MPI_Comm_rank(MPI_COMM_WORLD, me)
    call MPI_Comm_size(MPI_COMM_WORLD, ranks)
    call get_command_argument(1, text)
    read (text, *) rounds
    right = modulo(me + 1, ranks)
    left = modulo(me - 1, ranks)
    digest = 17
    call MPI_Type_vector(64, 1, 64, MPI_REAL8, row)
    call MPI_Type_commit(row)
    call MPI_Win_allocate(int(4 * n, MPI_ADDRESS_KIND), 4, MPI_INFO_NULL, MPI_COMM_WORLD, base, window)
    call c_f_pointer(base, memory, [n])
    memory = 0

    do round = 1, rounds
        call ring(round)
        call rows(round)
        call windows(round)
        call communicators(round)
    end do

    call MPI_Win_free(window)
    call MPI_Type_free(row)
    call MPI_Reduce(digest, all_digest, 1, MPI_INTEGER8, MPI_SUM, 0, MPI_COMM_WORLD)
    if (me == 0) print '(a, z16.16)', 'modern_fortran: ok, digest ', all_digest
    call MPI_Finalize()

contains

    elemental integer(int32) function number(from, when, i)
        integer, intent(in) :: from, when, i
        number = int(modulo(from * 1000003_int64 + when * 10007_int64 + i * 31_int64, 2147483647_int64), int32)
    end function

    subroutine check(ok, what)
        logical, intent(in) :: ok
        character(len=*), intent(in) :: what
        if (.not. ok) then
            print *, 'WRONG: rank', me, 'round', round, what
            call MPI_Abort(MPI_COMM_WORLD, 3)
        end if
    end subroutine

    subroutine ring(when)
        integer, intent(in) :: when
        integer :: i, m
        m = merge(n, 10, modulo(when, 2) == 0)
        numbers = [(number(me, when, i), i=1, n)]
        got = -1
        call MPI_Irecv(got, m, MPI_INTEGER4, left, when, MPI_COMM_WORLD, requests(1))
        call MPI_Isend(numbers, m, MPI_INTEGER4, right, when, MPI_COMM_WORLD, requests(2))
        call MPI_Waitall(2, requests, MPI_STATUSES_IGNORE)
        call check(all(got(:m) == [(number(left, when, i), i=1, m)]), 'ring')
        digest = ieor(digest * 31, int(got(m), int64))
    end subroutine

    subroutine rows(when)
        integer, intent(in) :: when
        integer :: i
        field = reshape([(real(number(me, when, i), real64), i=1, 64 * 64)], [64, 64])
        call MPI_Sendrecv(field(5, 1), 1, row, right, 1, halo, 64, MPI_REAL8, left, 1, MPI_COMM_WORLD, &
                          MPI_STATUS_IGNORE)
        call check(all(halo == [(real(number(left, when, 5 + (i - 1) * 64), real64), i=1, 64)]), 'row')
        total = sum(halo)
        call MPI_Allreduce(total, all_total, 1, MPI_REAL8, MPI_MAX, MPI_COMM_WORLD)
        digest = ieor(digest * 31, transfer(all_total, digest))
    end subroutine

    subroutine windows(when)
        integer, intent(in) :: when
        integer :: i
        call MPI_Win_fence(0, window)
        call MPI_Put(numbers, n, MPI_INTEGER4, right, 0_MPI_ADDRESS_KIND, n, MPI_INTEGER4, window)
        call MPI_Win_fence(0, window)
        call check(all(memory == [(number(left, when, i), i=1, n)]), 'window')
    end subroutine

    subroutine communicators(when)
        integer, intent(in) :: when
        integer :: value
        call MPI_Comm_split(MPI_COMM_WORLD, modulo(me, 2), me, pair)
        value = when
        call MPI_Bcast(value, 1, MPI_INTEGER, 0, pair)
        call check(value == when, 'broadcast')
        call MPI_Comm_free(pair)
    end subroutine
end program
