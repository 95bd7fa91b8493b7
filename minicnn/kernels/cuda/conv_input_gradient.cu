// compile: -Dreal=float -DC=32 -DH=12 -DW=12 -DF=48 -DKH=5 -DKW=5 -DSY=1 -DSX=1 -DPY=0 -DPX=0 -DOH=8 -DOW=8 -DPIECES=1 -DWINNERS=1 -DWY=2 -DWX=2 -DQY=2 -DQX=2 -DRY=0 -DRX=0 -DPH=4 -DPW=4 -DTILE=12 -DCB=4 -DFB=16 -DTF=8 -DTP=2 -DPT=72
// compile: -Dreal=double -DC=3 -DH=9 -DW=9 -DF=5 -DKH=3 -DKW=3 -DSY=2 -DSX=1 -DPY=1 -DPX=0 -DOH=5 -DOW=7 -DPIECES=1 -DWINNERS=0 -DWY=1 -DWX=1 -DQY=1 -DQX=1 -DRY=0 -DRX=0 -DPH=5 -DPW=7 -DTILE=9 -DCB=3 -DFB=8 -DTF=8 -DTP=1 -DPT=81
//
// dx of a whole layer: the convolution of dz, the gradient of the convolution's output, with the kernel rotated by 180
// degrees. dz exists in shared memory alone, slab by slab: it is read off dy and the winners, which are a quarter of
// its size after 2x2 pooling. With a stride its pixels lie that far apart, zeros between them.
//
// One block computes TILE rows of dx for FB of the C channels of one image: channels play the part of the filters.
// Every dx has one writer.
#include "winners.cuh"

#define THREADS (PT * (FB / TF))
#define ROWS_IN (TILE + KH - 1)
#define COLS_IN (W + KW - 1)
#define PIXELS (TILE * W)
#define SLAB (CB * ROWS_IN * COLS_IN)
#define WEIGHTS (CB * TAPS * FB)

#include "tile.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
conv_input_gradient(const real* __restrict__ dy, const unsigned char* __restrict__ winners,
                    const real* __restrict__ w, real* __restrict__ dx)
{
    __shared__ real x_s[SLAB];
    __shared__ real w_s[WEIGHTS];
    const int t = threadIdx.x, group = t / PT, place = t % PT;
    const int n = blockIdx.z, c0 = blockIdx.y * FB, iy0 = blockIdx.x * TILE;

    int at[TP];
    real acc[TP][TF];
    for (int i = 0; i < TP; ++i) {
        const int p = min(place + i * PT, PIXELS - 1);
        at[i] = p / W * COLS_IN + p % W;
        for (int j = 0; j < TF; ++j)
            acc[i][j] = 0;
    }
    for (int f0 = 0; f0 < F; f0 += CB) {
        for (int k = t; k < SLAB; k += THREADS) {
            const int f = f0 + k / (ROWS_IN * COLS_IN);
            const int sy = iy0 + PY - (KH - 1) + k / COLS_IN % ROWS_IN, sx = PX - (KW - 1) + k % COLS_IN;
            const bool inside = f < F && sy >= 0 && sx >= 0 && sy % SY == 0 && sx % SX == 0
                                && sy / SY < OH && sx / SX < OW;
            x_s[k] = inside ? gradient_at(dy, winners, n, f, sy / SY, sx / SX) : real(0);
        }
        for (int k = t; k < WEIGHTS; k += THREADS) {
            const int f = f0 + k / (FB * TAPS), c = c0 + k / TAPS % FB, tap = k % TAPS;
            const bool inside = f < F && c < C;
            // Rotated: tap (ky, kx) of the product is tap (KH-1-ky, KW-1-kx) of the kernel.
            w_s[((f - f0) * TAPS + TAPS - 1 - tap) * FB + c - c0] = inside ? w[(f * C + c) * TAPS + tap] : real(0);
        }
        __syncthreads();
        multiply(x_s, w_s, at, acc, group);
        __syncthreads();
    }
    for (int j = 0; j < TF; ++j)
        for (int i = 0; i < TP; ++i) {
            const int p = place + i * PT, c = c0 + group * TF + j, iy = iy0 + p / W;
            if (p < PIXELS && c < C && iy < H)
                dx[((n * C + c) * H + iy) * W + p % W] = acc[i][j];
        }
}
