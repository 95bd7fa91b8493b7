// compile: -Dreal=float -DTHREADS=256 -DSPAN=1024
//
// From inner products to kernel values, in place: one pass over K (m, n), after the matrix product that wrote it.
//
// A block has SPAN entries of one row, so that it knows its row by one division, and neighbouring threads take
// neighbouring columns. Every entry has one thread, which reads it once and writes it once.

#define EACH(row, column)                                                                                              \
    const int row = blockIdx.x / spans, start = blockIdx.x % spans * SPAN, stop = start + SPAN < n ? start + SPAN : n; \
    for (int column = start + threadIdx.x; column < stop; column += THREADS)

// exp(-gamma |a - b|^2), |a - b|^2 = |a|^2 + |b|^2 - 2 a . b
extern "C" __global__ void rbf(real* K, const real* __restrict__ squares_a, const real* __restrict__ squares_b,
                               real gamma, int n, int spans)
{
    EACH(i, j) {
        const long long at = (long long)i * n + j;
        const real distance = squares_a[i] + squares_b[j] - 2 * K[at];
        K[at] = exp(-gamma * (distance > 0 ? distance : real(0)));    // rounding can make that of near points negative
    }
}

// (gamma a . b + coef0)^degree: a handful of products is faster than a power
extern "C" __global__ void poly(real* K, real gamma, real coef0, int degree, int n, int spans)
{
    EACH(i, j) {
        const long long at = (long long)i * n + j;
        const real base = gamma * K[at] + coef0;
        real power = 1;
        for (int k = 0; k < degree; ++k)
            power *= base;
        K[at] = power;
    }
}

// tanh(gamma a . b + coef0)
extern "C" __global__ void sigmoid(real* K, real gamma, real coef0, int n, int spans)
{
    EACH(i, j) {
        const long long at = (long long)i * n + j;
        K[at] = tanh(gamma * K[at] + coef0);
    }
}
