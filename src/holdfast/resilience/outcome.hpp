// What became of a call through a pipeline: its value, the Error it threw, or a refusal, which was cheap and
// means that nothing was sent. Nothing is thrown until somebody asks for a value that is not there.
//
//   const Outcome<Rate> rate = pipeline.try_call(ctx, fetch_rate);
//   if (rate) use(*rate); else if (rate.refusal()) use_last_known(); else throw rate.error();
//
// Thread-safety: a value.
#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/describe.hpp"
#include "holdfast/base/error.hpp"

namespace holdfast::resilience {

enum class RefusedBy : std::uint8_t {
  breaker_open,
  breaker_half_open,    ///< the probes are out, their verdicts are waited for
  breaker_forced_open,  ///< somebody opened it by hand
  bulkhead_full,
  bulkhead_wait_over,  ///< it waited in line for too long
  rate_limit_reached,
  recovering,  ///< it is back from an outage, and not everything at once
};
HOLDFAST_DESCRIBE_ENUM(RefusedBy, breaker_open, breaker_half_open, breaker_forced_open, bulkhead_full,
                       bulkhead_wait_over, rate_limit_reached, recovering)

struct Refusal {
  RefusedBy by = RefusedBy::breaker_open;
  Duration retry_after{0};
};

/// Error(unavailable) with the refusal's name as its reason, naming the dependency.
Error to_error(const Refusal& refusal, std::string_view dependency);

/// `T` must not be a reference; void is std::monostate.
template <class T>
class [[nodiscard]] Outcome {
  static_assert(!std::is_reference_v<T>, "an outcome owns its value");

 public:
  using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

  struct Failed {
    Error error;
    bool called;  ///< whether the call was made at all
  };
  struct Refused {
    Refusal refusal;
    const std::string* dependency;  ///< the pipeline's name
  };

  template <class... Argument>
  explicit Outcome(std::in_place_t, Argument&&... arguments)
      : held_(std::in_place_index<0>, std::forward<Argument>(arguments)...) {}
  Outcome(const Refusal& refusal, const std::string& dependency)
      : held_(std::in_place_index<1>, Refused{refusal, &dependency}) {}
  Outcome(Error error, bool called) : held_(std::in_place_index<2>, Failed{std::move(error), called}) {}

  explicit operator bool() const noexcept { return held_.index() == 0; }
  /// Only where there is one.
  Value& operator*() noexcept { return *std::get_if<0>(&held_); }
  const Value& operator*() const noexcept { return *std::get_if<0>(&held_); }
  Value* operator->() noexcept { return std::get_if<0>(&held_); }
  const Value* operator->() const noexcept { return std::get_if<0>(&held_); }

  /// Null unless it was refused.
  const Refusal* refusal() const noexcept {
    const auto* refused = std::get_if<1>(&held_);
    return refused == nullptr ? nullptr : &refused->refusal;
  }
  /// Whether the call was made, so that it may have had an effect.
  bool called() const noexcept {
    const auto* failed = std::get_if<2>(&held_);
    return failed != nullptr ? failed->called : held_.index() == 0;
  }
  /// The failure, or the refusal as an Error; only where there is no value. A refusal's may be made as long
  /// as the pipeline lives.
  Error error() const {
    if (const auto* failed = std::get_if<2>(&held_)) return failed->error;
    const auto* refused = std::get_if<1>(&held_);
    return to_error(refused->refusal, *refused->dependency);
  }
  /// The value; throws error() where there is none.
  T value() && {
    if (!*this) throw error();
    if constexpr (!std::is_void_v<T>) return std::move(**this);
  }

 private:
  std::variant<Value, Refused, Failed> held_;
};

}  // namespace holdfast::resilience
