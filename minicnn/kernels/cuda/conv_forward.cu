// compile: -Dreal=float -DC=1 -DH=28 -DW=28 -DF=32 -DKH=5 -DKW=5 -DSY=1 -DSX=1 -DPY=0 -DPX=0 -DOH=24 -DOW=24 -DPIECES=1 -DRELU=1 -DWINNERS=1 -DWY=2 -DWX=2 -DQY=2 -DQX=2 -DRY=0 -DRX=0 -DPH=12 -DPW=12 -DTILE=12 -DCB=1 -DFB=16 -DTF=8 -DTP=5 -DPT=116
// compile: -Dreal=double -DC=48 -DH=10 -DW=10 -DF=96 -DKH=8 -DKW=8 -DSY=1 -DSX=1 -DPY=3 -DPX=3 -DOH=9 -DOW=9 -DPIECES=2 -DRELU=0 -DWINNERS=1 -DWY=4 -DWX=4 -DQY=2 -DQX=2 -DRY=0 -DRX=0 -DPH=3 -DPW=3 -DTILE=3 -DCB=2 -DFB=16 -DTF=8 -DTP=1 -DPT=81
// compile: -Dreal=float -DC=3 -DH=9 -DW=9 -DF=5 -DKH=3 -DKW=3 -DSY=2 -DSX=1 -DPY=1 -DPX=0 -DOH=5 -DOW=7 -DPIECES=1 -DRELU=0 -DWINNERS=0 -DWY=1 -DWX=1 -DQY=1 -DQX=1 -DRY=0 -DRX=0 -DPH=5 -DPW=7 -DTILE=5 -DCB=3 -DFB=8 -DTF=8 -DTP=1 -DPT=35
//
// A whole layer, forward: convolution, bias, ReLU or maxout, max-pooling. Sizes are constants: loops unroll, and
// divisions by them become multiplications. One block computes TILE rows of pooled values of FB filters of one image.
//
//     global memory   x, w  ->  shared: a slab of CB maps and its weights  ->  registers: TP x TF sums
//                                          | the next slab
//     shared: z, the convolution of the tile, in the place of the slabs  ->  its maxima  ->  y and winners
//
// What is never written to global memory: columns, the convolution itself, masks. Every y has one writer.

#define DEAD 255
#define THREADS (PT * (FB / TF))
#define Z_ROWS ((TILE - 1) * QY + WY)                // rows of the convolution under a tile
#define ROWS_IN ((Z_ROWS - 1) * SY + KH)             // rows of the image under those
#define COLS_IN ((OW - 1) * SX + KW)
#define PIXELS (Z_ROWS * OW)
#define SLAB (CB * ROWS_IN * COLS_IN)
#define WEIGHTS (CB * TAPS * FB)
#define ROOM (SLAB + WEIGHTS > FB * PIXELS ? SLAB + WEIGHTS : FB * PIXELS)

#include "tile.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
conv_forward(const real* __restrict__ x, const real* __restrict__ w, const real* __restrict__ b,
             real* __restrict__ y, unsigned char* __restrict__ winners)
{
    __shared__ real room[ROOM];
    real *x_s = room, *w_s = room + SLAB;
    const int t = threadIdx.x, group = t / PT, place = t % PT;
    const int n = blockIdx.z, f0 = blockIdx.y * FB, py0 = blockIdx.x * TILE;
    const int z_top = py0 * QY - RY, top = z_top * SY - PY;

    int at[TP];
    real acc[TP][TF];
    for (int i = 0; i < TP; ++i) {
        const int p = min(place + i * PT, PIXELS - 1);   // beyond the last: computed, and not stored
        at[i] = p / OW * SY * COLS_IN + p % OW * SX;
        for (int j = 0; j < TF; ++j)
            acc[i][j] = 0;
    }
    for (int c0 = 0; c0 < C; c0 += CB) {
        for (int k = t; k < SLAB; k += THREADS) {
            const int c = c0 + k / (ROWS_IN * COLS_IN), iy = top + k / COLS_IN % ROWS_IN, ix = k % COLS_IN - PX;
            const bool inside = c < C && iy >= 0 && iy < H && ix >= 0 && ix < W;
            x_s[k] = inside ? x[((n * C + c) * H + iy) * W + ix] : real(0);
        }
        for (int k = t; k < WEIGHTS; k += THREADS) {
            const int f = f0 + k / (CB * TAPS), tap = k % (CB * TAPS);   // neighbours read neighbours
            const bool inside = f < F && c0 * TAPS + tap < C * TAPS;
            w_s[tap * FB + f - f0] = inside ? w[f * C * TAPS + c0 * TAPS + tap] : real(0);
        }
        __syncthreads();
        multiply(x_s, w_s, at, acc, group);
        __syncthreads();
    }
    for (int i = 0; i < TP; ++i) {
        const int p = place + i * PT;
        if (p < PIXELS)
            for (int j = 0; j < TF; ++j) {
                const int f = f0 + group * TF + j;
                room[(group * TF + j) * PIXELS + p] = acc[i][j] + (f < F ? b[f] : real(0));
            }
    }
    __syncthreads();
    for (int k = t; k < FB / PIECES * TILE * PW; k += THREADS) {
        const int fo = k / (TILE * PW), py = py0 + k / PW % TILE, px = k % PW;
        if (py >= PH || f0 + fo * PIECES >= F)
            continue;
        const int window_y = py * QY - RY, window_x = px * QX - RX;
        real best = 0;
        int winner = -1;
        for (int oy = max(0, window_y); oy < min(OH, window_y + WY); ++oy)
            for (int ox = max(0, window_x); ox < min(OW, window_x + WX); ++ox)
                for (int piece = 0; piece < PIECES; ++piece) {
                    const real v = room[((fo * PIECES + piece) * Z_ROWS + oy - z_top) * OW + ox];
                    // "Not less or equal" is "greater, or one is NaN"; best != best once it is NaN, which stays.
                    if (winner < 0 || (!(v <= best) && best == best)) {
                        best = v;
                        winner = ((oy - window_y) * WX + ox - window_x) * PIECES + piece;
                    }
                }
        if (RELU && best <= 0) {
            best = 0;
            winner = DEAD;
        }
        const int o = ((n * (F / PIECES) + f0 / PIECES + fo) * PH + py) * PW + px;
        y[o] = best;
#if WINNERS
        winners[o] = winner;
#endif
    }
}
