// compile: -Dreal=float -DTHREADS=128
// compile: -Dreal=double -DTHREADS=128
//
// Softmax, cross-entropy and its gradient: one block for each row of logits (N, K), which it reads from global memory
// once more for each of its three passes, and from the nearest cache the second and third time.

// The sum (or maximum) over the block's threads of `mine`, given to all: a tree, the same order every time. All threads
// must meet once more before `shared` is used again.
#define REDUCE(result, mine, combine)                          \
    shared[t] = mine;                                          \
    __syncthreads();                                           \
    for (int half = THREADS / 2; half > 0; half /= 2) {        \
        if (t < half)                                          \
            shared[t] = combine(shared[t], shared[t + half]);  \
        __syncthreads();                                       \
    }                                                          \
    const real result = shared[0];

static __device__ __forceinline__ real larger(real a, real b)
{
    return a > b || a != a ? a : b;      // a NaN stays
}

static __device__ __forceinline__ real plus(real a, real b)
{
    return a + b;
}

// probabilities (N, K); losses (N,) float64 and hits (N,): whether the largest logit, the first of equals, is the label's.
// Where dlogits is wanted, (p - [k == label]) / N. A label out of range makes the loss NaN instead of reading elsewhere.
extern "C" __global__ void __launch_bounds__(THREADS)
softmax_cross_entropy(const real* __restrict__ logits, const long long* __restrict__ labels,
                      real* __restrict__ probabilities, real* __restrict__ dlogits, double* __restrict__ losses,
                      int* __restrict__ hits, int K, int wants_gradient)
{
    __shared__ real shared[THREADS];
    __shared__ int first[THREADS];
    const int t = threadIdx.x, n = blockIdx.x, N = gridDim.x;
    const real* row = logits + (long long)n * K;
    const long long label = labels[n];
    const bool known = label >= 0 && label < K;

    real most = row[0];
    for (int k = t; k < K; k += THREADS)
        most = larger(most, row[k]);
    REDUCE(top, most, larger)
    int place = K;
    for (int k = t; k < K; k += THREADS)
        if (row[k] == top)
            place = min(place, k);
    first[t] = place;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (t < half)
            first[t] = min(first[t], first[t + half]);
        __syncthreads();
    }
    real mine = 0;
    for (int k = t; k < K; k += THREADS)
        mine += exp(row[k] - top);
    REDUCE(sum, mine, plus)
    for (int k = t; k < K; k += THREADS) {
        const real p = exp(row[k] - top) / sum;
        probabilities[(long long)n * K + k] = p;
        if (wants_gradient)
            dlogits[(long long)n * K + k] = (p - real(k == label)) / N;
    }
    if (t == 0) {
        losses[n] = known ? log((double)sum) - (double)(row[label] - top) : nan("");
        hits[n] = known && first[0] == label;
    }
}

// dlogits = (p - [k == label]) / N, for probabilities that are known already; one thread for each.
extern "C" __global__ void softmax_cross_entropy_backward(const real* __restrict__ probabilities,
                                                          const long long* __restrict__ labels,
                                                          real* __restrict__ dlogits, int N, int K)
{
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < (long long)N * K)
        dlogits[i] = (probabilities[i] - real(i % K == labels[i / K])) / N;
}

// totals += (sum of losses, sum of hits), by one block, in a fixed order.
extern "C" __global__ void __launch_bounds__(THREADS)
tally(const double* __restrict__ losses, const int* __restrict__ hits, double* __restrict__ totals, int N)
{
    __shared__ double loss[THREADS], hit[THREADS];
    const int t = threadIdx.x;
    loss[t] = 0;
    hit[t] = 0;
    for (int n = t; n < N; n += THREADS) {
        loss[t] += losses[n];
        hit[t] += hits[n];
    }
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (t < half) {
            loss[t] += loss[t + half];
            hit[t] += hit[t + half];
        }
        __syncthreads();
    }
    if (t == 0) {
        totals[0] += loss[0];
        totals[1] += hit[0];
    }
}
