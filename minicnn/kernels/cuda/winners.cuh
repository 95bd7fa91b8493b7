// The gradient of a convolution's output, read off the winners of the pooling that followed it.

#define FO (F / PIECES)

// Return dz[n, f, oy, ox]: the sum of dy over the pooling windows that this value won. It is gathered: whoever needs
// a value looks up the few windows that cover it, so nothing is ever added to one place by two threads.
static __device__ __forceinline__ real gradient_at(const real* __restrict__ dy, const unsigned char* __restrict__ winners,
                                                   int n, int f, int oy, int ox)
{
#if WINNERS
    const int first_y = oy + RY - WY + 1, first_x = ox + RX - WX + 1;
    const int y0 = first_y <= 0 ? 0 : (first_y + QY - 1) / QY, y1 = min(PH - 1, (oy + RY) / QY);
    const int x0 = first_x <= 0 ? 0 : (first_x + QX - 1) / QX, x1 = min(PW - 1, (ox + RX) / QX);
    real sum = 0;
    for (int py = y0; py <= y1; ++py)
        for (int px = x0; px <= x1; ++px) {
            const int o = ((n * FO + f / PIECES) * PH + py) * PW + px;
            const int code = ((oy + RY - py * QY) * WX + ox + RX - px * QX) * PIECES + f % PIECES;
            if (winners[o] == code)
                sum += dy[o];
        }
    return sum;
#else
    return dy[((n * F + f) * OH + oy) * OW + ox];
#endif
}
