// Leases in Redis: quick, and ended by the server's own clock. A Redis that loses its memory forgets who
// holds what, so that for a moment two may; their fences still differ, because a fence is never below the
// server's time in microseconds. So they are for what a fence protects, and for what may rarely be done
// twice.
//
//   RedisLeases leases(client, {.prefix = "shop:"});
//
// Thread-safety: any fiber.
#pragma once

#include <string>

#include "holdfast/lease/leases.hpp"
#include "holdfast/redis/client.hpp"

namespace holdfast::lease {

struct RedisLeasesOptions {
  std::string prefix = "holdfast:";  ///< before every key: several users of a database
};

class RedisLeases final : public Leases {
 public:
  /// `client` is borrowed.
  explicit RedisLeases(redis::Client& client, RedisLeasesOptions options = {})
      : client_(client), options_(std::move(options)) {}

  std::optional<Fence> try_take(const Context& ctx, std::string_view name, std::string_view holder,
                                Duration time) override;
  bool renew(const Context& ctx, std::string_view name, std::string_view holder, Fence fence,
             Duration time) override;
  void release(const Context& ctx, std::string_view name, std::string_view holder, Fence fence) override;

 private:
  std::string key(std::string_view name) const {
    return std::string(options_.prefix).append("lease:").append(name);
  }

  redis::Client& client_;
  const RedisLeasesOptions options_;
};

}  // namespace holdfast::lease
