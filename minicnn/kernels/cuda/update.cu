// compile: -Dreal=float -DTHREADS=128
// compile: -Dreal=double -DTHREADS=128
//
// One step of SGD with momentum, and the max-norm constraint, for all parameters of a network in one launch. A block owns
// one row: the weights of one filter or unit, or the biases of a layer. It updates them, and, where the row has
// a limit, adds up their squares in a tree of fixed order and scales them while they are still in the nearest cache.
//
// All weights lie in one array, as do gradients and velocities: row r is [starts[r], starts[r] + lengths[r]), and
// limits[r] is its largest norm, 0 for none. The rates of step s of the epoch are rates[s] = (lr, momentum): in device
// memory, as is the number of the step, so that a captured graph can be replayed.

// Scale a row down to the limit where it is longer; `mine` is this thread's share of the sum of its squares.
static __device__ void shrink(real* row, int length, real limit, real mine)
{
    __shared__ real squares[THREADS];
    const int t = threadIdx.x;
    squares[t] = mine;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (t < half)
            squares[t] += squares[t + half];
        __syncthreads();
    }
    if (squares[0] > limit * limit) {
        const real scale = limit / sqrt(squares[0]);
        for (int i = t; i < length; i += THREADS)
            row[i] *= scale;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
update(real* __restrict__ weights, const real* __restrict__ gradients, real* __restrict__ velocities,
       const long long* __restrict__ starts, const int* __restrict__ lengths, const real* __restrict__ limits,
       const real* __restrict__ rates, const long long* __restrict__ step, int nesterov, real weight_decay)
{
    const int row = blockIdx.x, length = lengths[row];
    real *w = weights + starts[row], *v = velocities + starts[row];
    const real* g = gradients + starts[row];
    const real lr = rates[step[0] * 2], momentum = rates[step[0] * 2 + 1];

    real sum = 0;
    for (int i = threadIdx.x; i < length; i += THREADS) {
        const real gi = g[i] + weight_decay * w[i];
        const real vi = v[i] * momentum + gi;
        v[i] = vi;
        w[i] -= lr * (nesterov ? gi + momentum * vi : vi);
        sum += w[i] * w[i];
    }
    if (limits[row] != 0)                   // the same for the whole block: no thread waits alone
        shrink(w, length, limits[row], sum);
}

// The constraint alone, for rows of equal length that follow each other.
extern "C" __global__ void __launch_bounds__(THREADS)
limit_norms(real* __restrict__ w, int length, real limit)
{
    real* row = w + (long long)blockIdx.x * length;
    real sum = 0;
    for (int i = threadIdx.x; i < length; i += THREADS)
        sum += row[i] * row[i];
    shrink(row, length, limit, sum);
}
