#include "holdfast/lease/fences.hpp"

#include <string>

#include "holdfast/base/error.hpp"

namespace holdfast::lease {

void admit(sql::Transaction& tx, std::string_view resource, Fence fence) {
  const std::int64_t admitted = tx.execute(
      "insert into lease_fences(resource, fence) values($1, $2) "
      "on conflict(resource) do update set fence = excluded.fence where lease_fences.fence <= excluded.fence",
      resource, fence);
  if (admitted == 1) return;
  throw Error(ErrorCode::conflict,
              "The lease on \"" + std::string(resource) + "\" has passed to another; this came too late.")
      .reason("fenced_off");
}

}  // namespace holdfast::lease
