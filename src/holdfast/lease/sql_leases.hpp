// Leases in the database: for those who have one anyway. Durable, so that a lease outlives a restart of
// whatever there is. Ends are compared by the clocks of the processes, which must agree to within a small
// part of the times that are used; where they don't, fences still hold. Tables: migrations() (schema.hpp).
//
//   SqlLeases leases(db);
//
// Thread-safety: any fiber.
#pragma once

#include "holdfast/lease/leases.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::lease {

class SqlLeases final : public Leases {
 public:
  /// `database` is borrowed.
  explicit SqlLeases(sql::Database& database) : database_(database) {}

  std::optional<Fence> try_take(const Context& ctx, std::string_view name, std::string_view holder,
                                Duration time) override;
  bool renew(const Context& ctx, std::string_view name, std::string_view holder, Fence fence,
             Duration time) override;
  void release(const Context& ctx, std::string_view name, std::string_view holder, Fence fence) override;

 private:
  sql::Database& database_;
};

}  // namespace holdfast::lease
