#include "holdfast/base/invariant.hpp"

#include <cstdio>
#include <cstdlib>

namespace holdfast {

void invariant_broken(const char* what, std::source_location at) noexcept {
  std::fprintf(stderr, "invariant broken at %s:%u: %s\n", at.file_name(), at.line(), what);
  std::abort();
}

}  // namespace holdfast
