// Verilator's user hooks (see runtime.h); compiled once, into the archive that every design links.
#include "runtime.h"

#include <cstdarg>
#include <cstdio>

namespace {
// More than a screenful helps nobody, and a design may print every cycle: keep the end.
constexpr size_t kept_characters = 4096;
thread_local std::string printed;

[[noreturn]] void stop(const char* file, int line, const std::string& what) {
    const bool located = file && file[0];
    throw DesignStopped(located ? std::string(file) + ":" + std::to_string(line) + ": " + what : what);
}
}  // namespace

int spatten_printf(const char* format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    const int length = std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printed += text;
    if (printed.size() > 2 * kept_characters) printed.erase(0, printed.size() - kept_characters);
    return length;
}

std::string spatten_take_printed() {
    std::string text;
    text.swap(printed);
    return text;
}

void vl_finish(const char* file, int line, const char*) { stop(file, line, "$finish"); }
void vl_stop(const char* file, int line, const char*) { stop(file, line, "$stop, $error or $fatal"); }
void vl_fatal(const char* file, int line, const char*, const char* message) { stop(file, line, message); }
void vl_warn(const char* file, int line, const char*, const char* message) {
    spatten_printf("%s:%d: warning: %s\n", file, line, message);
}
