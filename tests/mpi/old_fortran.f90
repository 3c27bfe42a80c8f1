! Messages and collectives by mpif.h, as older programs do: handles are integers, every call has ierr.
program old_fortran
    implicit none
    include 'mpif.h'
    integer, parameter :: n = 5000
    integer :: me, ranks, right, left, round, rounds, ierr, i, flag, request, total
    integer :: status(MPI_STATUS_SIZE), numbers(n), got(n), persistent(2)
    logical :: done
    character(len=16) :: text
    integer(kind=8) :: digest, all_digest

    call MPI_INIT(ierr)
    call MPI_COMM_RANK(MPI_COMM_WORLD, me, ierr)
    call MPI_COMM_SIZE(MPI_COMM_WORLD, ranks, ierr)
    call get_command_argument(1, text)
    read (text, *) rounds
    right = modulo(me + 1, ranks)
    left = modulo(me - 1, ranks)
    digest = 17
    call MPI_SEND_INIT(numbers, n, MPI_INTEGER, right, 7, MPI_COMM_WORLD, persistent(1), ierr)
    call MPI_RECV_INIT(got, n, MPI_INTEGER, MPI_ANY_SOURCE, 7, MPI_COMM_WORLD, persistent(2), ierr)
    do round = 1, rounds
        do i = 1, n
            numbers(i) = me * 100000 + modulo(round * 7919 + i, 100000)
        end do
        if (modulo(round, 2) == 0) then
            call MPI_STARTALL(2, persistent, ierr)
            call MPI_WAITALL(2, persistent, MPI_STATUSES_IGNORE, ierr)
        else
            call MPI_ISSEND(numbers, n, MPI_INTEGER, right, 8, MPI_COMM_WORLD, request, ierr)
            done = .false.
            do while (.not. done)
                call MPI_IPROBE(left, 8, MPI_COMM_WORLD, done, status, ierr)
            end do
            call MPI_GET_COUNT(status, MPI_INTEGER, flag, ierr)
            call MPI_RECV(got, flag, MPI_INTEGER, left, 8, MPI_COMM_WORLD, status, ierr)
            call MPI_WAIT(request, status, ierr)
        end if
        do i = 1, n
            if (got(i) /= left * 100000 + modulo(round * 7919 + i, 100000)) then
                print *, 'WRONG: rank', me, 'round', round, 'at', i
                call MPI_ABORT(MPI_COMM_WORLD, 3, ierr)
            end if
        end do
        call MPI_ALLREDUCE(got(modulo(round, n) + 1), total, 1, MPI_INTEGER, MPI_BXOR, MPI_COMM_WORLD, ierr)
        digest = ieor(digest * 31, int(total, 8))
    end do
    call MPI_REQUEST_FREE(persistent(1), ierr)
    call MPI_REQUEST_FREE(persistent(2), ierr)
    call MPI_REDUCE(digest, all_digest, 1, MPI_INTEGER8, MPI_SUM, 0, MPI_COMM_WORLD, ierr)
    if (me == 0) print '(a, z16.16)', 'old_fortran: ok, digest ', all_digest
    call MPI_FINALIZE(ierr)
end program
