// compile: -Dreal=float -DTHREADS=128 -DITEMS=4
// compile: -Dreal=float -DTHREADS=256 -DITEMS=8
// compile: -Dreal=float -DTHREADS=512 -DITEMS=8
// compile: -Dreal=float -DTHREADS=1024 -DITEMS=0
//
// Sequential minimal optimisation, one block for one binary problem: the algorithm of compiled_smo.py. A launch advances as
// many problems as it has blocks; they have nothing to do with each other. A thread owns the samples t, t + THREADS,
// t + 2 THREADS ... of its problem: F of a sample is read and written by no other thread.
//
//     registers   F and K[t, t] of the own samples, and whether each is in up or in low      (where ITEMS > 0)
//     shared      one candidate of each warp, in the two searches of an iteration
//     global      K, of which an iteration reads two rows; beta and C, of which it reads two entries; F between launches
//
// Where ITEMS is 0 a problem has more samples than registers for them: then what would be there is in global memory,
// under the same names. Neither this nor THREADS changes a bit of the result.
//
// One iteration, three barriers:
//
//     search   i = argmin of F over up: in a warp by shuffles, then over the warps' candidates by every warp
//     pass     row i of K: the gain (F[t] - F[i])^2 / curvature of each own t in low; no F[t] - F[i] >= tol: done
//     search   j = argmax of the gain
//     step     every thread computes it for itself; thread 0 writes beta
//     pass     rows i and j of K: F += step (K[i] - K[j]), and on the way the own candidate for the next i
//
// What is never there: the matrix of a pair of classes. A row of it is two pieces of a row of a larger matrix, whose
// samples are sorted by class.

#if ITEMS
#define EACH(s, t) _Pragma("unroll") for (int s = 0, t = threadIdx.x; s < ITEMS; ++s, t += THREADS) if (t < n)
#else
#define EACH(s, t) for (int s = threadIdx.x, t = s; t < n; t += THREADS, s = t)
#endif

#define TAU 1e-12           // curvature of a pair whose own is zero or negative, as in smo.py
#define FAR 1e300           // beyond every F
#define NONE 0x7fffffff     // no sample: greater than every position, so it loses every tie
#define IN_UP 1             // beta may grow
#define IN_LOW 2            // beta may shrink
#define ALL 0xffffffffu
#define WARPS (THREADS / 32)

enum { RUNNING, CONVERGED, STALLED };       // why iterations ended
enum { NEW, BEGUN, DONE };                  // what a launch finds and leaves

// The least value and where it is, of equal ones the first, among this thread and the 2 * by - 1 lanes around it. Ties
// are decided by position, so it is the same one in whatever order candidates meet.
static __device__ __forceinline__ void least_of_lanes(double& value, int& position, int by)
{
    for (; by > 0; by /= 2) {
        const double other = __shfl_xor_sync(ALL, value, by);
        const int place = __shfl_xor_sync(ALL, position, by);
        if (other < value || (other == value && place < position)) {
            value = other;
            position = place;
        }
    }
}

static __device__ __forceinline__ void greatest_of_lanes(real& value, int& position, int by)
{
    for (; by > 0; by /= 2) {
        const real other = __shfl_xor_sync(ALL, value, by);
        const int place = __shfl_xor_sync(ALL, position, by);
        if (other > value || (other == value && place < position)) {
            value = other;
            position = place;
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
smo(const real* __restrict__ K, long long columns, const double* __restrict__ C, const int* __restrict__ problems,
    const long long* __restrict__ where, const int* __restrict__ todo, double* all_beta, double* all_F,
    real* all_diagonal, unsigned char* all_sets, int* states, long long* steps, double* found, double tol,
    long long max_iter, int iterations)
{
    __shared__ double s_F_i[WARPS], s_F_j[WARPS];
    __shared__ real s_gain[WARPS];
    __shared__ int s_i[WARPS], s_j[WARPS];
    __shared__ double s_bias, s_violation, s_worst[4];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;

    // The samples of problem p are the rows [a0, a1) and [b0, b1) of K; those in [first, last) have y = +1.
    const int p = todo[blockIdx.x];
    const int *of = problems + 6 * p, m = of[1] - of[0], n = m + of[3] - of[2], first = of[4], last = of[5];
    const int in_a = of[0], in_b = of[2] - m;
#define SAMPLE(t) ((t) + ((t) < m ? in_a : in_b))
#define POSITIVE(sample) ((sample) >= first && (sample) < last)
#define LOWER(sample) (POSITIVE(sample) ? 0.0 : -C[sample])
#define UPPER(sample) (POSITIVE(sample) ? C[sample] : 0.0)

    double *const beta = all_beta + where[p], *const kept = all_F + where[p];
#if ITEMS
    double F[ITEMS];
    real diagonal[ITEMS];
    unsigned char sets[ITEMS];
#else
    double *const F = kept;
    real *const diagonal = all_diagonal + where[p];
    unsigned char *const sets = all_sets + where[p];
#endif
    int now = states[p], outcome = RUNNING;
    long long done = steps[p];
    EACH(s, t) {
        const int sample = SAMPLE(t);
        diagonal[s] = K[sample * columns + sample];
        sets[s] = (beta[t] < UPPER(sample) ? IN_UP : 0) | (beta[t] > LOWER(sample) ? IN_LOW : 0);
#if ITEMS
        F[s] = now == NEW ? 0.0 : kept[t];
#endif
    }

    for (bool from_scratch = now == NEW;; from_scratch = true) {
        if (from_scratch) {
            __syncthreads();                            // beta is written
            EACH(s, t) F[s] = POSITIVE(SAMPLE(t)) ? -1.0 : 1.0;
            for (int i = 0; i < n; ++i) {               // F = K beta - y, one support vector after the other
                const double weight = beta[i];
                if (weight != 0.0) {
                    const real* row = K + SAMPLE(i) * columns;
                    EACH(s, t) F[s] += weight * (double)row[SAMPLE(t)];
                }
            }
#if ITEMS
            EACH(s, t) kept[t] = F[s];
#endif
            __syncthreads();                            // F is written
            if (warp == 0) {                            // bias and violation, in the same order for any THREADS
                double least = FAR, most = -FAR, total = 0.0;
                int free = 0, at_least = NONE, at_most = NONE;
                for (int t = lane; t < n; t += 32) {
                    const int sample = SAMPLE(t);
                    const bool up = beta[t] < UPPER(sample), low = beta[t] > LOWER(sample);
                    if (up && kept[t] < least) {
                        least = kept[t];
                        at_least = t;
                    }
                    if (low && kept[t] > most) {
                        most = kept[t];
                        at_most = t;
                    }
                    if (up && low) {
                        total += kept[t];
                        ++free;
                    }
                }
                least_of_lanes(least, at_least, 16);
                double least_of_low = -most;
                least_of_lanes(least_of_low, at_most, 16);
                most = -least_of_low;
                for (int by = 16; by > 0; by /= 2) {
                    total += __shfl_xor_sync(ALL, total, by);
                    free += __shfl_xor_sync(ALL, free, by);
                }
                if (lane == 0) {                        // both classes have samples: neither up nor low is empty
                    s_bias = free ? -total / free : -(least + most) / 2;
                    s_violation = most - least;
                    s_worst[0] = at_least == NONE ? 0 : at_least;       // none where F is NaN
                    s_worst[1] = at_most == NONE ? 0 : at_most;
                    s_worst[2] = least;
                    s_worst[3] = most;
                }
            }
            __syncthreads();
            if (now == BEGUN && (outcome != CONVERGED || s_violation < tol)) {      // else F had drifted: go on
                if (threadIdx.x == 0) {
                    found[6 * p] = s_bias;
                    found[6 * p + 1] = s_violation;
                    for (int k = 0; k < 4; ++k)
                        found[6 * p + 2 + k] = s_worst[k];
                }
                now = DONE;
                break;
            }
            now = BEGUN;
        }

        outcome = RUNNING;
        double F_i = FAR;
        int i = NONE;
        EACH(s, t) if ((sets[s] & IN_UP) && F[s] < F_i) {
            F_i = F[s];
            i = t;
        }
        while (iterations > 0 && done < max_iter) {
            least_of_lanes(F_i, i, 16);
            if (lane == 0) {
                s_F_i[warp] = F_i;
                s_i[warp] = i;
            }
            __syncthreads();                            // candidates are written
            F_i = s_F_i[lane % WARPS];
            i = s_i[lane % WARPS];
            least_of_lanes(F_i, i, WARPS / 2);
            if (i == NONE) {                            // kernel values that overflowed: no F is a number
                outcome = STALLED;
                break;
            }

            const int sample_i = SAMPLE(i);
            const real *row_i = K + sample_i * columns, K_ii = row_i[sample_i];
            bool violates = false;
            real gain = 0;
            int j = NONE;
            double F_j = 0.0;
            EACH(s, t) if (sets[s] & IN_LOW) {
                const double excess = F[s] - F_i;
                violates = violates || excess >= tol;
                if (excess > 0.0) {
                    const real rise = excess, curvature = K_ii + diagonal[s] - 2 * row_i[SAMPLE(t)];
                    const real decrease = rise * rise / (curvature > real(TAU) ? curvature : real(TAU));
                    if (decrease > gain) {
                        gain = decrease;
                        j = t;
                        F_j = F[s];
                    }
                }
            }
            const int own_j = j;
            greatest_of_lanes(gain, j, 16);
            if (j == own_j) {                           // the lane whose it is, or all lanes if there is none
                s_gain[warp] = gain;
                s_j[warp] = j;
                s_F_j[warp] = F_j;
            }
            if (!__syncthreads_or(violates)) {          // candidates are written
                outcome = CONVERGED;
                break;
            }
            gain = s_gain[lane % WARPS];
            j = s_j[lane % WARPS];
            greatest_of_lanes(gain, j, WARPS / 2);
            if (j == NONE) {                            // a gap above tol, and yet nothing to gain in float32
                outcome = STALLED;
                break;
            }

            const int sample_j = SAMPLE(j);
            const real* row_j = K + sample_j * columns;
            const double q = (double)K_ii + (double)row_j[sample_j] - 2.0 * (double)row_i[sample_j];
            const double before_i = beta[i], upper_i = UPPER(sample_i), room_i = upper_i - before_i;
            const double before_j = beta[j], lower_j = LOWER(sample_j), room_j = before_j - lower_j;
            const double step = fmin(fmin((s_F_j[j % THREADS / 32] - F_i) / fmax(q, TAU), room_i), room_j);
            // At a bound exactly, or it would stay in `up` or `low`.
            const double after_i = step == room_i ? upper_i : before_i + step;
            const double after_j = step == room_j ? lower_j : before_j - step;
            if (after_i == before_i && after_j == before_j) {
                outcome = STALLED;
                break;
            }
            const int moved = i, sets_i = (after_i < upper_i ? IN_UP : 0) | (after_i > LOWER(sample_i) ? IN_LOW : 0);
            const int sets_j = (after_j < UPPER(sample_j) ? IN_UP : 0) | (after_j > lower_j ? IN_LOW : 0);
            F_i = FAR;
            i = NONE;
            EACH(s, t) {
                const int sample = SAMPLE(t);
                F[s] += step * ((double)row_i[sample] - (double)row_j[sample]);
                if (t == moved)
                    sets[s] = sets_i;
                if (t == j)
                    sets[s] = sets_j;
                if ((sets[s] & IN_UP) && F[s] < F_i) {
                    F_i = F[s];
                    i = t;
                }
            }
            __syncthreads();                            // every thread has read beta
            if (threadIdx.x == 0) {
                beta[moved] = after_i;
                beta[j] = after_j;
            }
            ++done;
            --iterations;
        }
        if (outcome == RUNNING && done < max_iter)      // to be continued by the next launch
            break;
    }
#if ITEMS
    EACH(s, t) kept[t] = F[s];
#endif
    if (threadIdx.x == 0) {
        states[p] = now;
        steps[p] = done;
    }
}
