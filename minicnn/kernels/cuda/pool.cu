// compile: -Dreal=float
// compile: -Dreal=double
//
// Max-pooling of planes (P, H, W), P = N*C: one thread for each output, and backward one for each cell of dx, which
// gathers what the windows that cover it hand to their winner. So overlapping windows add up without atomics, in the
// order of the windows.

extern "C" __global__ void max_pool2d(const real* __restrict__ x, real* __restrict__ y, int* __restrict__ winners,
                                      long long outputs, int H, int W, int OH, int OW, int KH, int KW, int sy, int sx,
                                      int py, int px)
{
    const long long o = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (o >= outputs)
        return;
    const int ox = o % OW, oy = o / OW % OH;
    const real* plane = x + o / OW / OH * H * W;
    const int top = oy * sy - py, left = ox * sx - px;
    int winner = max(top, 0) * W + max(left, 0);
    real best = plane[winner];
    for (int iy = max(top, 0); iy < min(top + KH, H); ++iy)
        for (int ix = max(left, 0); ix < min(left + KW, W); ++ix) {
            const real v = plane[iy * W + ix];
            // "Not less or equal" is "greater, or one is NaN"; best != best once it is NaN, which stays.
            if (!(v <= best) && best == best) {
                best = v;
                winner = iy * W + ix;
            }
        }
    y[o] = best;
    winners[o] = winner;
}

extern "C" __global__ void max_pool2d_backward(const real* __restrict__ dy, const int* __restrict__ winners,
                                               real* __restrict__ dx, long long cells, int H, int W, int OH, int OW,
                                               int KH, int KW, int sy, int sx, int py, int px)
{
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= cells)
        return;
    const int ix = i % W, iy = i / W % H, cell = iy * W + ix;
    const long long plane = i / W / H * OH * OW;
    const int first_y = iy + py - KH + 1, first_x = ix + px - KW + 1;
    const int y0 = first_y <= 0 ? 0 : (first_y + sy - 1) / sy, x0 = first_x <= 0 ? 0 : (first_x + sx - 1) / sx;
    real sum = 0;
    for (int oy = y0; oy <= min(OH - 1, (iy + py) / sy); ++oy)
        for (int ox = x0; ox <= min(OW - 1, (ix + px) / sx); ++ox) {
            const long long o = plane + oy * OW + ox;
            if (winners[o] == cell)
                sum += dy[o];
        }
    dx[i] = sum;
}
