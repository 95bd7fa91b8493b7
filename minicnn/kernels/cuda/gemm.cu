// compile: -Dreal=float -DTILE=32 -DSIDE=16
// compile: -Dreal=double -DTILE=32 -DSIDE=16
//
// The three products of a fully connected layer: C (M, N) = A (M, K) B (K, N) + bias, where the strides say how A and B
// lie, so that none is ever transposed. A block computes TILE x TILE numbers of C with SIDE x SIDE threads: slabs of A
// and B pass through shared memory, each number read from there serves TILE / SIDE sums. Where a layer of the
// paper is captured in a graph, cuBLAS cannot be, and matrices of 128 x 121 are no work for it anyway.

#define SUMS (TILE / SIDE)

extern "C" __global__ void __launch_bounds__(SIDE * SIDE)
gemm(const real* __restrict__ a, const real* __restrict__ b, const real* __restrict__ bias, real* __restrict__ c,
     int M, int N, int K, long long a_m, long long a_k, long long b_k, long long b_n, int has_bias)
{
    __shared__ real a_s[TILE][TILE + 1], b_s[TILE][TILE + 1];     // one more column: no two threads in one bank
    const int t = threadIdx.x, row = t / SIDE, column = t % SIDE;
    const int m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE;
    real acc[SUMS][SUMS];
    for (int i = 0; i < SUMS; ++i)
        for (int j = 0; j < SUMS; ++j)
            acc[i][j] = 0;
    for (int k0 = 0; k0 < K; k0 += TILE) {
        for (int i = t; i < TILE * TILE; i += SIDE * SIDE) {
            // Neighbouring threads read along the axis on which the matrix is contiguous.
            const int am = a_k == 1 ? i / TILE : i % TILE, ak = a_k == 1 ? i % TILE : i / TILE;
            const int bk = b_n == 1 ? i / TILE : i % TILE, bn = b_n == 1 ? i % TILE : i / TILE;
            a_s[am][ak] = m0 + am < M && k0 + ak < K ? a[(m0 + am) * a_m + (k0 + ak) * a_k] : real(0);
            b_s[bk][bn] = k0 + bk < K && n0 + bn < N ? b[(k0 + bk) * b_k + (n0 + bn) * b_n] : real(0);
        }
        __syncthreads();
        for (int k = 0; k < TILE; ++k)
            for (int i = 0; i < SUMS; ++i)
                for (int j = 0; j < SUMS; ++j)
                    acc[i][j] += a_s[row + i * SIDE][k] * b_s[k][column + j * SIDE];
        __syncthreads();
    }
    for (int i = 0; i < SUMS; ++i)
        for (int j = 0; j < SUMS; ++j) {
            const int m = m0 + row + i * SIDE, n = n0 + column + j * SIDE;
            if (m < M && n < N)
                c[(long long)m * N + n] = acc[i][j] + (has_bias ? bias[n] : real(0));
        }
}

// db[f] = sum over n of dy[n, f], from the first sample to the last; neighbouring threads read neighbouring filters.
extern "C" __global__ void column_sums(const real* __restrict__ dy, real* __restrict__ db, int N, int F)
{
    const int f = blockIdx.x * blockDim.x + threadIdx.x;
    if (f >= F)
        return;
    real sum = 0;
    for (int n = 0; n < N; ++n)
        sum += dy[(long long)n * F + f];
    db[f] = sum;
}
