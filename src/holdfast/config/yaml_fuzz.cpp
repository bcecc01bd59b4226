// Any bytes as a settings file: a tree or faults, never a crash, a hang, or memory without a bound.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "holdfast/config/internal/yaml.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  holdfast::config::Faults faults;
  (void)holdfast::config::parse_yaml({reinterpret_cast<const char*>(data), size}, "fuzz.yaml", faults);
  return 0;
}
