// compile: -Dreal=float
// compile: -Dreal=double
//
// The mini-batch of a step: x[b] = images[order[step*B + b]] and its label, for images that are all on the device. The
// number of the step lies in device memory; `next_step` counts it, at the end of a step.

extern "C" __global__ void gather(const real* __restrict__ images, const long long* __restrict__ labels,
                                  const long long* __restrict__ order, const long long* __restrict__ step,
                                  real* __restrict__ x, long long* __restrict__ y, int B, int full, int pixels)
{
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (long long)B * pixels)
        return;
    const long long n = order[step[0] * full + i / pixels];
    x[i] = images[n * pixels + i % pixels];
    if (i % pixels == 0)
        y[i / pixels] = labels[n];
}

extern "C" __global__ void next_step(long long* step)
{
    if (threadIdx.x == 0)
        step[0] += 1;
}
