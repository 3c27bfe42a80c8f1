/*
 * A C++ program: containers, an operation of its own, a struct as a datatype, and an exception that
 * takes a request through its destructor.
 */
#include <mpi.h>

#include <algorithm>
#include <complex>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace {

int me, ranks;

struct Particle {
    double position[3];
    std::int64_t id;
    char kind;
};

class Request {
public:
    template <typename Start> explicit Request(Start start) { start(&request_); }
    Request(const Request &) = delete;
    ~Request() { MPI_Wait(&request_, MPI_STATUS_IGNORE); }

private:
    MPI_Request request_ = MPI_REQUEST_NULL;
};

MPI_Datatype particle_type()
{
    const int lengths[] = {3, 1, 1};
    const MPI_Aint offsets[] = {offsetof(Particle, position), offsetof(Particle, id),
                                offsetof(Particle, kind)};
    const MPI_Datatype types[] = {MPI_DOUBLE, MPI_INT64_T, MPI_CHAR};
    MPI_Datatype packed, type;
    MPI_Type_create_struct(3, lengths, offsets, types, &packed);
    MPI_Type_create_resized(packed, 0, sizeof(Particle), &type);
    MPI_Type_commit(&type);
    MPI_Type_free(&packed);
    return type;
}

void check(bool ok, const char *what, int round)
{
    if (!ok) {
        std::fprintf(stderr, "rank %d: WRONG: %s, round %d\n", me, what, round);
        MPI_Abort(MPI_COMM_WORLD, 3);
    }
}

Particle make(int from, int round, std::size_t i)
{
    const double x = from * 1e6 + round * 1e3 + static_cast<double>(i);
    return {{x, x / 3, -x}, static_cast<std::int64_t>(i) * ranks + from, "abc"[i % 3]};
}

void pass_particles(MPI_Datatype type, int round)
{
    const int right = (me + 1) % ranks, left = (me + ranks - 1) % ranks;
    std::vector<Particle> out(static_cast<std::size_t>(round % 7 == 0 ? 20000 : round % 50 + 1));
    std::vector<Particle> in(out.size());
    for (std::size_t i = 0; i < out.size(); i++) {
        out[i] = make(me, round, i);
    }
    const int n = static_cast<int>(out.size());
    try {
        Request receive([&](MPI_Request *r) {
            MPI_Irecv(in.data(), n, type, left, round, MPI_COMM_WORLD, r);
        });
        Request send([&](MPI_Request *r) {
            MPI_Isend(out.data(), n, type, right, round, MPI_COMM_WORLD, r);
        });
        if (round % 3 == 0) {
            throw std::runtime_error("both requests end all the same");
        }
    } catch (const std::runtime_error &) {
    }
    for (std::size_t i = 0; i < in.size(); i++) {
        const Particle p = make(left, round, i);
        check(std::equal(p.position, p.position + 3, in[i].position) && p.id == in[i].id &&
                  p.kind == in[i].kind,
              "particle", round);
    }
}

void multiply(void *in, void *inout, int *n, MPI_Datatype *)
{
    auto *a = static_cast<std::complex<double> *>(in), *b = static_cast<std::complex<double> *>(inout);
    std::transform(a, a + *n, b, b, [](auto x, auto y) { return x * y; });
}

std::complex<double> combine(MPI_Op op, int round)
{
    std::vector<std::complex<double>> mine(1000), all(1000);
    for (std::size_t i = 0; i < mine.size(); i++) {
        mine[i] = std::polar(1.0, static_cast<double>(i) * (me + 1) + round);
    }
    MPI_Allreduce(mine.data(), all.data(), 1000, MPI_CXX_DOUBLE_COMPLEX, op, MPI_COMM_WORLD);
    return std::accumulate(all.begin(), all.end(), std::complex<double>());
}

} // namespace

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &me);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    const int rounds = argc > 1 ? std::atoi(argv[1]) : 100;
    MPI_Datatype type = particle_type();
    MPI_Op op;
    MPI_Op_create(multiply, 0, &op);
    std::complex<double> sum;
    for (int round = 0; round < rounds; round++) {
        pass_particles(type, round);
        sum += combine(op, round);
    }
    MPI_Op_free(&op);
    MPI_Type_free(&type);
    if (me == 0) {
        std::printf("cplusplus: ok, sum %a %a\n", sum.real(), sum.imag());
    }
    MPI_Finalize();
}
