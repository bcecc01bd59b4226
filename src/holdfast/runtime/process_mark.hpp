// A name for this process that others on the same machine can look up: whether the process of a mark is
// surely gone. A lease whose owner was killed can then be taken at once, instead of when it expires.
//
//   const std::string owner = id + "." + runtime::process_mark();     // kept with the lease
//   if (runtime::process_gone(mark)) …                                // its owner will never come back
//
// A mark is made of the machine's boot, the process namespace, the process id and the time at which the
// process began, so that neither a reused id nor a container's neighbour is taken for it.
// Thread-safety: any thread. Linux only: elsewhere nothing is ever known to be gone.
#pragma once

#include <string>
#include <string_view>

namespace holdfast::runtime {

/// Letters, digits and '-'; the same for the life of the process. "unknown" where the system won't say.
std::string process_mark();

/// True only where the process of `mark` ran on this boot of this machine, in this namespace, and has
/// ended; false wherever that can't be told, also for text that is no mark. A stopped process is not gone.
bool process_gone(std::string_view mark);

}  // namespace holdfast::runtime
