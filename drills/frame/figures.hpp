// What a drill reads of a running program from outside: its metrics, its memory.
//
//   metric(shop, "holdfast_http_connections")      the sum over its label sets; 0 where there is none
//
// Thread-safety: any thread.
#pragma once

#include <sys/types.h>

#include <string>

#include "drills/frame/shop.hpp"

namespace holdfast::drills {

/// Of GET /metrics; `labels` is a text that the sample's labels contain, e.g. `outcome="shed"`.
double metric(const Shop& shop, const std::string& name, const std::string& labels = "");
/// Memory of a process that is in RAM now.
double resident_mebibytes(pid_t pid);
int processors();

}  // namespace holdfast::drills
