#include "holdfast/base/fault.hpp"

#ifdef HOLDFAST_FAULTS

#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <string>
#include <string_view>

namespace holdfast {
namespace {

/// "site:nth", read from the environment once: the one exception to "no global state", in test builds.
struct Kill {
  Kill() {
    const char* const setting = std::getenv("HOLDFAST_FAULT_KILL");
    if (setting == nullptr) return;
    const std::string_view text(setting);
    const std::size_t colon = text.rfind(':');
    site = text.substr(0, colon);
    if (colon == std::string_view::npos) return;
    std::from_chars(text.data() + colon + 1, text.data() + text.size(), passes_left);
  }

  std::string site;
  long passes_left = 1;
  std::atomic<long> passed{0};
};

constexpr int kStatusOfKill = 137;  // 128 + SIGKILL, as a shell reports it

}  // namespace

void pass_fault_site(const char* site) noexcept {
  static Kill kill;
  if (kill.site.empty() || kill.site != site) return;
  if (kill.passed.fetch_add(1) + 1 == kill.passes_left) ::_exit(kStatusOfKill);
}

}  // namespace holdfast

#endif
