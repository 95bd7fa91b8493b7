// compile: -Dreal=float -DC=32 -DH=12 -DW=12 -DF=48 -DKH=5 -DKW=5 -DSY=1 -DSX=1 -DPY=0 -DPX=0 -DOH=8 -DOW=8 -DPIECES=1 -DWINNERS=1 -DWY=2 -DWX=2 -DQY=2 -DQX=2 -DRY=0 -DRX=0 -DPH=4 -DPW=4 -DTILE=8 -DCB=2 -DFB=16 -DTF=4 -DTK=1
// compile: -Dreal=double -DC=3 -DH=9 -DW=9 -DF=5 -DKH=3 -DKW=3 -DSY=2 -DSX=1 -DPY=1 -DPX=0 -DOH=5 -DOW=7 -DPIECES=1 -DWINNERS=0 -DWY=1 -DWX=1 -DQY=1 -DQX=1 -DRY=0 -DRX=0 -DPH=5 -DPW=7 -DTILE=5 -DCB=1 -DFB=8 -DTF=4 -DTK=1
//
// dw and db of a whole layer. A block has FB filters and CB maps, whose weights are sums in its threads' registers:
// a thread keeps TF filters times TK taps. The block walks through the images of its part, TILE rows of the
// convolution at a time: the rows of x and of dz are put into shared memory, and each thread goes through the pixels.
//
// Here the sparsity of pooling pays: after 2x2 pooling and ReLU seven of eight values of dz are 0, and where all TF of a
// thread are, so are those of the whole warp, which then goes on at once.
//
// Sums over the parts of the batch are left to `add_parts`, in a fixed order: no atomics, the same bits every time.
#include "winners.cuh"

#define TAPS (KH * KW)
#define TAP_THREADS ((CB * TAPS + TK - 1) / TK)
#define THREADS (TAP_THREADS * (FB / TF))
#define ROWS_IN ((TILE - 1) * SY + KH)
#define COLS_IN ((OW - 1) * SX + KW)
#define SLAB (CB * ROWS_IN * COLS_IN)

extern "C" __global__ void __launch_bounds__(THREADS)
conv_weight_gradient(const real* __restrict__ x, const real* __restrict__ dy, const unsigned char* __restrict__ winners,
                     real* __restrict__ dw_parts, real* __restrict__ db_parts, int N)
{
    __shared__ real x_s[SLAB];
    __shared__ real dz_s[TILE * OW * FB];
    const int t = threadIdx.x, group = t / TAP_THREADS, place = t % TAP_THREADS;
    const int f0 = blockIdx.x * FB, c0 = blockIdx.y * CB, part = blockIdx.z, parts = gridDim.z;

    int at[TK];
    real acc[TK][TF], sums[TF];
    for (int k = 0; k < TK; ++k) {
        const int tap = min(place + k * TAP_THREADS, CB * TAPS - 1);
        at[k] = (tap / TAPS * ROWS_IN + tap % TAPS / KW) * COLS_IN + tap % KW;
        for (int j = 0; j < TF; ++j)
            acc[k][j] = 0;
    }
    for (int j = 0; j < TF; ++j)
        sums[j] = 0;

    const int last = (int)((long long)N * (part + 1) / parts);
    for (int n = (int)((long long)N * part / parts); n < last; ++n)
        for (int oy0 = 0; oy0 < OH; oy0 += TILE) {
            for (int k = t; k < SLAB; k += THREADS) {
                const int c = c0 + k / (ROWS_IN * COLS_IN);
                const int iy = oy0 * SY - PY + k / COLS_IN % ROWS_IN, ix = k % COLS_IN - PX;
                const bool inside = c < C && iy >= 0 && iy < H && ix >= 0 && ix < W;
                x_s[k] = inside ? x[((n * C + c) * H + iy) * W + ix] : real(0);
            }
            for (int k = t; k < TILE * OW * FB; k += THREADS) {
                const int f = f0 + k / (TILE * OW), p = k % (TILE * OW), oy = oy0 + p / OW;
                dz_s[p * FB + f - f0] = f < F && oy < OH ? gradient_at(dy, winners, n, f, oy, p % OW) : real(0);
            }
            __syncthreads();
            for (int p = 0; p < TILE * OW; ++p) {
                real dz[TF];
                bool any = false;
#pragma unroll
                for (int j = 0; j < TF; ++j) {
                    dz[j] = dz_s[p * FB + group * TF + j];
                    any |= dz[j] != 0;
                }
                if (!any)
                    continue;
                const int seen = p / OW * SY * COLS_IN + p % OW * SX;
#pragma unroll
                for (int k = 0; k < TK; ++k) {
                    const real v = x_s[at[k] + seen];
#pragma unroll
                    for (int j = 0; j < TF; ++j)
                        acc[k][j] += v * dz[j];
                }
#pragma unroll
                for (int j = 0; j < TF; ++j)
                    sums[j] += dz[j];
            }
            __syncthreads();
        }
    for (int j = 0; j < TF; ++j) {
        const int f = f0 + group * TF + j;
        if (f >= F)
            continue;
        for (int k = 0; k < TK; ++k) {
            const int tap = place + k * TAP_THREADS;
            if (tap < CB * TAPS && c0 * TAPS + tap < C * TAPS)
                dw_parts[((long long)part * F + f) * C * TAPS + c0 * TAPS + tap] = acc[k][j];
        }
        if (place == 0 && c0 == 0)
            db_parts[part * F + f] = sums[j];
    }
}

// dw[i] = sum over the parts of dw_parts[part, i], and db likewise: from the first part to the last.
extern "C" __global__ void add_parts(const real* __restrict__ dw_parts, const real* __restrict__ db_parts,
                                     real* __restrict__ dw, real* __restrict__ db, int parts)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x, weights = F * C * TAPS;
    if (i < weights) {
        real sum = 0;
        for (int part = 0; part < parts; ++part)
            sum += dw_parts[(long long)part * weights + i];
        dw[i] = sum;
    } else if (i < weights + F) {
        real sum = 0;
        for (int part = 0; part < parts; ++part)
            sum += db_parts[part * F + i - weights];
        db[i - weights] = sum;
    }
}
