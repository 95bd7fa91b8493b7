// compile: -Dreal=float -DTHREADS=128
//
// From the sums of each class's support vectors to decisions and to scores of the classes: compiled_decision.py, with a
// block for a sample.
//
// S (K, rows, K - 1) has S[a, r, b - 1], what the support vectors of class a add to the decision of the pair a < b for
// sample r, and S[b, r, a], what those of b add. A pair is evaluated by each of its two classes' threads: the second
// addition costs less than handing over the first, and every number has one writer, who adds in one order.

static __device__ __forceinline__ double decision(const real* __restrict__ S, const double* __restrict__ intercept,
                                                  int rows, int classes, int r, int a, int b)
{
    const long long row = classes - 1;
    return (double)S[((long long)a * rows + r) * row + b - 1] + (double)S[((long long)b * rows + r) * row + a]
           + intercept[(long long)a * (2 * classes - a - 3) / 2 + b - 1];
}

// The decision of each pair a < b, out (rows, K (K - 1) / 2), in the order (0, 1), (0, 2), ..., (1, 2), ...
extern "C" __global__ void pair_values(const real* __restrict__ S, const double* __restrict__ intercept,
                                       double* __restrict__ out, int rows, int classes)
{
    const int r = blockIdx.x;
    double* of_r = out + (long long)r * classes * (classes - 1) / 2;
    for (int a = 0; a < classes; ++a)
        for (int b = a + 1 + threadIdx.x; b < classes; b += THREADS)
            of_r[(long long)a * (2 * classes - a - 3) / 2 + b - 1] = decision(S, intercept, rows, classes, r, a, b);
}

// votes + confidence / (3 (|confidence| + 1)) of each class, out (rows, K)
extern "C" __global__ void class_scores(const real* __restrict__ S, const double* __restrict__ intercept,
                                        double* __restrict__ out, int rows, int classes)
{
    const int r = blockIdx.x;
    for (int k = threadIdx.x; k < classes; k += THREADS) {
        double votes = 0.0, confidence = 0.0, in_favour = 0.0;
        for (int a = 0; a < k; ++a) {
            const double value = decision(S, intercept, rows, classes, r, a, k);
            votes += value >= 0.0 ? 0.0 : 1.0;
            confidence -= value;
        }
        for (int b = k + 1; b < classes; ++b) {
            const double value = decision(S, intercept, rows, classes, r, k, b);
            votes += value >= 0.0 ? 1.0 : 0.0;
            in_favour += value;
        }
        confidence += in_favour;
        out[(long long)r * classes + k] = votes + confidence / (3.0 * (fabs(confidence) + 1.0));
    }
}
