// Cached<T>: a source with a memory. Asked for a key, it answers from its Cache while that is fresh, and asks
// the source once for all who want the same at the same time, in this process and, over Redis, in all.
//
//   Cached<Product> products(cache, {.name = "product", .fresh_for = 30s}, clock, random, metrics,
//                            [&](const Context& ctx, const std::string& sku) { return find(db, ctx, sku); });
//   std::shared_ptr<const Product> mug = products.get(ctx, "MUG-1");   // null: there is none
//   db.transact(…);  products.invalidate(ctx, "MUG-1");
//
// Fresh, it is served. A little before that ends one caller refreshes it, earlier the longer loading takes
// (XFetch: Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015);
// then it is served stale while one refreshes it behind, and at last only where the source fails. Keys carry
// T's shape, so that a release never reads what another wrote for another T. A cache that is away is a cache
// that forgot. Thread-safety: any fiber. Outlives its callers; destroyed on a fiber.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "holdfast/base/digest.hpp"
#include "holdfast/base/encoding.hpp"
#include "holdfast/base/json_schema.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/cache/loading.hpp"

namespace holdfast::cache {

/// The first 8 hex digits of what describes T: its members' names, types and rules, and theirs.
template <class T>
std::string shape_of() {
  SchemaRegistry schemas("#");
  std::string all = json_schema<T>(schemas);
  for (const auto& [name, schema] : schemas.all()) all.append(name).append(schema);
  return encode_hex(sha256(all)).substr(0, 8);
}

template <class T>
class Cached {
 public:
  /// What the source has; nothing where it has nothing. Its errors are not remembered.
  using Loader = std::function<std::optional<T>(const Context&, const std::string& key)>;

  struct Answer {
    std::shared_ptr<const T> value;  ///< null: there is none
    bool stale = false;
    Duration age{0};  ///< since it was loaded, if it is stale
  };

  /// `cache`, `clock`, `random` and `metrics` are borrowed. `loader` may run on any loop, and behind.
  Cached(Cache& cache, CachedOptions options, const Clock& clock, Random& random, observe::Metrics& metrics,
         Loader loader = {})
      : loader_(std::move(loader)),
        loading_(cache, std::move(options), shape_of<T>(), &Cached::decode, clock, random, metrics) {}

  /// By the loader it was made with. Throws what that throws, unless there is a stale value to serve instead;
  /// Error(deadline_exceeded / cancelled) as ctx says.
  std::shared_ptr<const T> get(const Context& ctx, const std::string& key) { return ask(ctx, key).value; }
  Answer ask(const Context& ctx, const std::string& key) {
    // A refresh behind has a copy of this, which refers to the Cached alone: it waits for its refreshes.
    return answer(loading_.get(
        ctx, key, [this, key](const Context& own) { return value_of(loader_(own, key)); },
        Loading::Behind::yes));
  }

  /// By a loader of this call, `std::optional<T>(const Context&)`, which may refer to the caller's frame: so
  /// a refresh is made in the time of one caller instead of behind, while the others are served.
  template <class Load>
  std::shared_ptr<const T> get_or_load(const Context& ctx, const std::string& key, Load&& load) {
    return ask_or_load(ctx, key, load).value;
  }
  template <class Load>
  Answer ask_or_load(const Context& ctx, const std::string& key, Load&& load) {
    return answer(loading_.get(
        ctx, key, [&load](const Context& own) { return value_of(load(own)); }, Loading::Behind::no));
  }

  /// Once a change of the source is durable. Throws Error(unavailable) where not all processes could be told:
  /// do it again until it returns, best in the handler of the change's event.
  void invalidate(const Context& ctx, const std::string& key) { loading_.invalidate(ctx, key); }

  /// Write-through: instead of invalidate(), where the new value is at hand. Of two writers at once the
  /// second to call wins, which may not be the second to commit: invalidate() is right where that matters.
  void put(const Context& ctx, const std::string& key, std::optional<T> value) {
    loading_.put(ctx, key, value_of(std::move(value)));
  }

 private:
  static Value value_of(std::optional<T> loaded) {
    if (!loaded) return {};
    auto encoded = std::make_shared<const std::string>(to_json(*loaded));
    const std::size_t bytes = encoded->size();
    return {.object = std::make_shared<const T>(std::move(*loaded)),
            .encoded = std::move(encoded),
            .bytes = bytes};
  }
  static std::shared_ptr<const void> decode(std::string_view encoded) {
    try {
      return std::make_shared<const T>(from_json<T>(encoded));
    } catch (const Error&) {
      return nullptr;
    }
  }
  static Answer answer(Loaded loaded) {
    return {.value = std::static_pointer_cast<const T>(std::move(loaded.value.object)),
            .stale = loaded.stale,
            .age = loaded.age};
  }

  const Loader loader_;
  Loading loading_;
};

}  // namespace holdfast::cache
