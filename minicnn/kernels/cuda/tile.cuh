// The product at the heart of a convolution, for one block of threads; see kernels/cupy_fused.py.
//
// A block has, in shared memory, CB maps of one image (x_s, with their border) and the weights of FB filters that
// belong to them (w_s). A thread keeps TP pixels times TF filters in registers: for each number it loads from shared
// memory it does several multiply-adds, which is what lets the arithmetic, not the loads, be the limit.
//
//     thread t = group * PT + place        pixels place, place + PT, place + 2 PT ...    filters group*TF ... + TF-1
//
// Neighbouring threads have neighbouring pixels, so their loads of x_s are of neighbouring numbers, and all of them
// read the same weights, which the hardware hands to a whole warp at once.

#define TAPS (KH * KW)

// acc[i][j] += sum over the CB maps, ky, kx of x_s[map, ky, kx, seen from at[i]] * w_s[map, ky, kx, group*TF + j]
static __device__ __forceinline__ void multiply(const real* x_s, const real* w_s, const int* at, real (*acc)[TF], int group)
{
    for (int c = 0; c < CB; ++c)
        for (int ky = 0; ky < KH; ++ky) {
            const real* row = x_s + (c * ROWS_IN + ky) * COLS_IN;
            const real* weights = w_s + (c * TAPS + ky * KW) * FB + group * TF;
#pragma unroll
            for (int kx = 0; kx < KW; ++kx) {
                real w[TF];
#pragma unroll
                for (int j = 0; j < TF; ++j)
                    w[j] = weights[kx * FB + j];
#pragma unroll
                for (int i = 0; i < TP; ++i) {
                    const real x = row[at[i] + kx];
#pragma unroll
                    for (int j = 0; j < TF; ++j)
                        acc[i][j] += x * w[j];
                }
            }
        }
}
