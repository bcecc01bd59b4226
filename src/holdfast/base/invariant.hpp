// What must hold. A broken invariant that can't be contained ends the process at once, with the place
// and a sentence: going on would turn a defect into lost or doubled work. (What can be contained is
// logged, counted and fails its request as Error(internal); docs/errors.md has the table.)
#pragma once

#include <source_location>

namespace holdfast {

/// Writes "invariant broken at file:line: <what>" to standard error and aborts.
[[noreturn]] void invariant_broken(const char* what,
                                   std::source_location at = std::source_location::current()) noexcept;

/// Cheap enough to stay on in production.
inline void require_invariant(bool holds, const char* what,
                              std::source_location at = std::source_location::current()) noexcept {
  if (!holds) [[unlikely]]
    invariant_broken(what, at);
}

}  // namespace holdfast
