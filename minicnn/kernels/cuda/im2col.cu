// compile: -Dreal=float
// compile: -Dreal=double
//
// im2col: one thread owns one entry of cols (N, C, KH, KW, OH, OW). col2im: one thread owns one pixel of x (N, C, H, W)
// and gathers its own entries, in the order of (ky, kx), so no two threads ever add to the same place.

extern "C" __global__ void im2col(const real* __restrict__ x, real* __restrict__ cols, long long entries, int H,
                                  int W, int KH, int KW, int OH, int OW, int sy, int sx, int py, int px)
{
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= entries)
        return;
    const int ox = i % OW, oy = i / OW % OH;
    const long long tap = i / OW / OH;
    const int kx = tap % KW, ky = tap / KW % KH;
    const int iy = oy * sy + ky - py, ix = ox * sx + kx - px;
    const bool inside = iy >= 0 && iy < H && ix >= 0 && ix < W;
    cols[i] = inside ? x[(tap / KW / KH * H + iy) * W + ix] : real(0);
}

extern "C" __global__ void col2im(const real* __restrict__ cols, real* __restrict__ x, long long pixels, int H,
                                  int W, int KH, int KW, int OH, int OW, int sy, int sx, int py, int px)
{
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= pixels)
        return;
    const int ix = i % W, iy = i / W % H;
    const long long map = i / W / H;
    real sum = 0;
    for (int ky = 0; ky < KH; ++ky) {
        const int oy = iy + py - ky;
        if (oy < 0 || oy % sy || oy / sy >= OH)
            continue;
        for (int kx = 0; kx < KW; ++kx) {
            const int ox = ix + px - kx;
            if (ox >= 0 && ox % sx == 0 && ox / sx < OW)
                sum += cols[(((map * KH + ky) * KW + kx) * OH + oy / sy) * OW + ox / sx];
        }
    }
    x[i] = sum;
}
