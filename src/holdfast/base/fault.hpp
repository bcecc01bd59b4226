// Named places where a test may kill the process: between a commit and what is told about it, before a
// mark, after a rename. In the binary with-faults/holdfast, `HOLDFAST_FAULT_KILL="outbox.before_mark:3"` in
// the environment ends the process at the third pass of that site, as kill -9 would (status 137: no
// destructor, no flush). In every other build a site is nothing at all.
//
//   HOLDFAST_FAULT("outbox.before_mark");
//
// Thread-safety: any thread may pass a site.
#pragma once

#ifdef HOLDFAST_FAULTS
namespace holdfast {
/// Counts a pass; does not return from the one that HOLDFAST_FAULT_KILL names.
void pass_fault_site(const char* site) noexcept;
}  // namespace holdfast
#define HOLDFAST_FAULT(site) ::holdfast::pass_fault_site(site)
#else
#define HOLDFAST_FAULT(site) static_cast<void>(0)
#endif
