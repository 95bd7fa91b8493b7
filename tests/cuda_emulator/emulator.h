// Runs a CUDA kernel on the CPU, one block after the other, so that a test needs g++ and no GPU.
//
// The threads of a block are fibers: each has a stack of its own and runs until it waits at a barrier or at an
// operation of its warp. When none can run, whatever everybody has reached is released. So a barrier that some
// threads never reach is found, not waited for. The order in which fibers run is chosen by the caller: between two
// barriers a correct kernel computes the same in any order.
//
// What a block shares is filled with garbage before it begins, a different one for each order.
#pragma once
#include "emulator_types.h"
#include "emulator_functions.h"
