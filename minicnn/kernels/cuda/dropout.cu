// compile: -Dreal=float
// compile: -Dreal=double
//
// Dropout with a counter-based generator: number i of a stream is a function of (key, i), so every thread computes its
// own, no state is kept, and the mask depends neither on the grid nor on the device. The function is Philox4x64-10
// (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"), and the numbers are those of
// numpy.random.Generator(numpy.random.Philox(key=key, counter=counter)).random(n, dtype=float32).

typedef unsigned long long word;

static __device__ __forceinline__ void philox(word* counter, word key0, word key1)
{
    for (int round = 0; round < 10; ++round) {
        const word low0 = counter[0] * 0xD2E7470EE14C6C93ULL, high0 = __umul64hi(counter[0], 0xD2E7470EE14C6C93ULL);
        const word low1 = counter[2] * 0xCA5A826395121157ULL, high1 = __umul64hi(counter[2], 0xCA5A826395121157ULL);
        counter[0] = high1 ^ counter[1] ^ key0;
        counter[1] = low1;
        counter[2] = high0 ^ counter[3] ^ key1;
        counter[3] = low0;
        key0 += 0x9E3779B97F4A7C15ULL;
        key1 += 0xBB67AE8584CAA73BULL;
    }
}

// factor = 0 or scale, y = x * factor. A thread does the eight elements that one call of the generator is enough for.
// The counter is (1 + thread, step[0], stream, 0), whose first word NumPy counts; `step` lies in device memory, so that
// a captured graph draws other numbers in every step.
extern "C" __global__ void dropout(const real* __restrict__ x, real* __restrict__ y, real* __restrict__ factor,
                                   long long n, real drop_prob, real scale, const word* __restrict__ key,
                                   const long long* __restrict__ step, long long stream)
{
    const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (thread * 8 >= n)
        return;
    word counter[4] = {1 + (word)thread, (word)step[0], (word)stream, 0};
    philox(counter, key[0], key[1]);
    for (int k = 0; k < 8; ++k) {
        const long long i = thread * 8 + k;
        if (i < n) {
            const unsigned int bits = counter[k / 2] >> (k % 2 * 32);
            const float u = (bits >> 8) * (1.0f / 16777216.0f);
            factor[i] = u >= (float)drop_prob ? scale : real(0);
            y[i] = x[i] * factor[i];
        }
    }
}
