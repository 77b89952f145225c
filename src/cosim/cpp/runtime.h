// Stands in front of every file of a Verilated design and of Verilator's own library (it is the precompiled
// header): what a design prints or stops on comes back to the caller instead of ending the process.
#pragma once

// A design's $display text; VL_PRINTF is Verilator's hook for all of it.
int spatten_printf(const char* format, ...);
#define VL_PRINTF spatten_printf

// $finish, $stop, $error and $fatal: this file's implementations replace Verilator's.
#define VL_USER_FINISH
#define VL_USER_STOP
#define VL_USER_FATAL
#define VL_USER_WARN

#include "verilated.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
#endif

#include <mutex>
#include <stdexcept>
#include <string>

// Thrown out of an evaluation when the design stops itself.
struct DesignStopped : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The text printed on this thread since the last call, which it clears.
std::string spatten_take_printed();
