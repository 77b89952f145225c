// The calls behind which one Verilated design sits. `ports.inc` holds one INPUT(name) or OUTPUT(name) line per
// port, in the order of the caller's table; SPATTEN_CLOCK and SPATTEN_RESET tell whether the design has `clk_i` and
// `rst_ni`. The generated classes follow, so that the whole design is one translation unit.
#include "Model.h"

struct Simulation {
    VerilatedContext context;
    std::unique_ptr<Model> model;
    std::string message;  // why the design stopped; empty while it runs
#if VM_TRACE_FST
    std::unique_ptr<VerilatedFstC> trace;
#endif

    // Writes the waveform at the present time and moves time on by half a clock period.
    void dump() {
#if VM_TRACE_FST
        if (trace) trace->dump(context.time());
        context.timeInc(5);
#endif
    }

    void tick() {
#if SPATTEN_CLOCK
#if VM_TRACE_FST
        model->eval();  // shows the inputs from the falling edge on, half a period before they are taken
        dump();
#endif
        model->clk_i = 1;
        model->eval();
        dump();
        model->clk_i = 0;
#endif
        model->eval();
#if !SPATTEN_CLOCK
        dump();
#endif
    }

    // Runs one step of the design; 0 when it is still running afterwards. A stopped design is not evaluated again.
    template <class Step> int run(Step step) noexcept {
        if (!message.empty()) return 1;
        try {
            step();
            return 0;
        } catch (const std::exception& stopped) {
            message = spatten_take_printed() + stopped.what();
            return 1;
        }
    }
};

extern "C" {
#define EXPORT __attribute__((visibility("default")))

// Never null. `trace_path` may be null, and is ignored by a build without tracing.
EXPORT Simulation* spatten_create(uint32_t seed, const char* trace_path) {
    auto* simulation = new Simulation;
    simulation->run([&] {
        // Verilator's random state restarts whenever any thread seeds it.
        static std::mutex seeding;
        const std::lock_guard<std::mutex> guard(seeding);
        spatten_take_printed();
        Verilated::threadContextp(&simulation->context);
        simulation->context.randReset(2);
        simulation->context.randSeed(static_cast<int>(seed));
        simulation->context.traceEverOn(trace_path != nullptr);
        simulation->model.reset(new Model(&simulation->context));
#define INPUT(name) std::memset(&simulation->model->name, 0, sizeof simulation->model->name);
#define OUTPUT(name)
#include "ports.inc"
#undef INPUT
#undef OUTPUT
#if SPATTEN_RESET
        simulation->model->rst_ni = 1;
#endif
#if VM_TRACE_FST
        if (trace_path) {
            simulation->trace.reset(new VerilatedFstC);
            simulation->model->trace(simulation->trace.get(), 99);
            simulation->trace->open(trace_path);
            if (!simulation->trace->isOpen()) throw DesignStopped(std::string(trace_path) + ": not writable");
        }
#endif
        simulation->model->eval();
    });
    return simulation;
}

EXPORT void spatten_destroy(Simulation* simulation) {
    simulation->run([&] { simulation->dump(); });
#if VM_TRACE_FST
    if (simulation->trace) simulation->trace->close();
#endif
    if (Verilated::threadContextp() == &simulation->context) Verilated::threadContextp(nullptr);
    delete simulation;
}

// The value of port `index`: CData, SData, IData, QData or an array of 32-bit words, by width. Null past the end,
// or when the design stopped before it stood.
EXPORT void* spatten_port(Simulation* simulation, uint32_t index) {
    if (!simulation->model) return nullptr;
    void* const data[] = {
#define INPUT(name) &simulation->model->name,
#define OUTPUT(name) &simulation->model->name,
#include "ports.inc"
#undef INPUT
#undef OUTPUT
    };
    return index < sizeof data / sizeof data[0] ? data[index] : nullptr;
}

EXPORT int spatten_settle(Simulation* simulation) {
    return simulation->run([&] { simulation->model->eval(); });
}

EXPORT int spatten_tick(Simulation* simulation) {
    return simulation->run([&] { simulation->tick(); });
}

// Why the design stopped; empty while it runs. Valid until the simulation is destroyed.
EXPORT const char* spatten_message(Simulation* simulation) { return simulation->message.c_str(); }
}
