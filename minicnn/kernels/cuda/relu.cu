// compile: -Dreal=float
// compile: -Dreal=double
//
// ReLU and its gradient, one thread for each element: one pass over memory instead of one for each operator.

extern "C" __global__ void relu(const real* __restrict__ x, real* __restrict__ y, bool* __restrict__ positive,
                                long long n)
{
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    const real v = x[i];
    positive[i] = v > 0;
    y[i] = v <= 0 ? real(0) : v;     // a NaN is neither: it passes
}

extern "C" __global__ void relu_backward(const real* __restrict__ dy, const bool* __restrict__ positive,
                                         real* __restrict__ dx, long long n)
{
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        dx[i] = dy[i] * positive[i];
}
