// compile: -Dreal=float -DPIECES=2
// compile: -Dreal=double -DPIECES=4
//
// Maxout of (groups, PIECES, S): one thread for each output; backward it writes the PIECES entries of dx.

extern "C" __global__ void maxout(const real* __restrict__ x, real* __restrict__ y, unsigned char* __restrict__ winners,
                                  long long outputs, long long S)
{
    const long long o = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (o >= outputs)
        return;
    const real* first = x + o / S * PIECES * S + o % S;
    real best = first[0];
    int winner = 0;
    for (int piece = 1; piece < PIECES; ++piece) {
        const real v = first[piece * S];
        // "Not less or equal" is "greater, or one is NaN"; best != best once it is NaN, which stays.
        if (!(v <= best) && best == best) {
            best = v;
            winner = piece;
        }
    }
    y[o] = best;
    winners[o] = winner;
}

extern "C" __global__ void maxout_backward(const real* __restrict__ dy, const unsigned char* __restrict__ winners,
                                           real* __restrict__ dx, long long outputs, long long S)
{
    const long long o = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (o >= outputs)
        return;
    real* first = dx + o / S * PIECES * S + o % S;
    for (int piece = 0; piece < PIECES; ++piece)
        first[piece * S] = winners[o] == piece ? dy[o] : real(0);
}
